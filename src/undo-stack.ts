// What has been done, to be undone in the opposite order; once, whoever asks. One that fails stops none of the others.

/** @param graceMs milliseconds that open tunnels get */
type Undo = (graceMs?: number) => void | Promise<void>

export class UndoStack {
  readonly #undos: Undo[] = []
  readonly #onFailure: (error: unknown) => void
  #running: Promise<void> | undefined

  /** @param onFailure gets what an undo throws */
  constructor(onFailure: (error: unknown) => void) {
    this.#onFailure = onFailure
  }

  push(undo: Undo): void {
    this.#undos.push(undo)
  }

  /** Never rejects. */
  run(graceMs?: number): Promise<void> {
    this.#running ??= this.#run(graceMs)
    return this.#running
  }

  async #run(graceMs: number | undefined): Promise<void> {
    for (const undo of this.#undos.reverse()) {
      try {
        await undo(graceMs)
      } catch (error) {
        this.#report(error)
      }
    }
  }

  /** Reporting ends in the caller's own code, which may throw. */
  #report(error: unknown): void {
    try {
      this.#onFailure(error)
    } catch {}
  }
}
