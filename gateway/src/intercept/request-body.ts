// What came of a request's body: counted, and kept while it may have to be sent again. Pure.

/** Kept of a body for another try: a call of an API fits, an upload does not. */
export const MAX_REPLAY_BYTES = 65_536

export class RequestBody {
  #kept: Buffer[] = []
  #bytes = 0
  #isReplayable = true

  /** Bytes that came so far. */
  get bytes(): number {
    return this.#bytes
  }

  /** Whether all that came so far is kept. */
  get isReplayable(): boolean {
    return this.#isReplayable
  }

  /** Takes a part that is sent on at once. */
  pass(bytes: Buffer): void {
    this.hold(bytes)
    if (this.#bytes > MAX_REPLAY_BYTES) this.forget()
  }

  /** Takes a part that cannot be sent yet. The reader is paused, so that this is no more than it had read. */
  hold(bytes: Buffer): void {
    this.#bytes += bytes.length
    if (this.#isReplayable) this.#kept.push(bytes)
  }

  /** What there is to send from the beginning. */
  replay(): readonly Buffer[] {
    const kept = this.#kept
    if (this.#bytes > MAX_REPLAY_BYTES) this.forget()
    return kept
  }

  /** Nothing will be sent again. */
  forget(): void {
    this.#kept = []
    this.#isReplayable = false
  }
}
