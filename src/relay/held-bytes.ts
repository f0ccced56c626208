// What a client sent before it may go up.

export class HeldBytes {
  #pieces: Uint8Array[] = []
  #length = 0

  /** In all. */
  get length(): number {
    return this.#length
  }

  /** Keeps a copy: the bytes are only lent. */
  add(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.#pieces.push(new Uint8Array(bytes))
    this.#length += bytes.length
  }

  /** Everything, in order; nothing is held behind it. */
  take(): Uint8Array[] {
    const pieces = this.#pieces
    this.#pieces = []
    this.#length = 0
    return pieces
  }
}
