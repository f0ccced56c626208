// What came of a request's body: counted, and kept while it may have to be sent again. Pure.

/** Kept of a body for another try: a call of an API fits, an upload does not. */
export const MAX_REPLAY_BYTES = 65_536

export class RequestBody {
  /** Copied together: a body in pieces of a byte each would cost a hundred times its size. */
  #kept = Buffer.alloc(0)
  #keptBytes = 0
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
    if (this.#isReplayable) this.#keep(bytes)
  }

  /** What there is to send from the beginning. */
  replay(): Buffer {
    const kept = this.#kept.subarray(0, this.#keptBytes)
    if (this.#bytes > MAX_REPLAY_BYTES) this.forget()
    return kept
  }

  /** Nothing will be sent again. */
  forget(): void {
    this.#kept = Buffer.alloc(0)
    this.#keptBytes = 0
    this.#isReplayable = false
  }

  #keep(bytes: Buffer): void {
    const end = this.#keptBytes + bytes.length
    if (end > this.#kept.length) {
      const grown = Buffer.alloc(Math.max(end, this.#kept.length * 2))
      this.#kept.copy(grown, 0, 0, this.#keptBytes)
      this.#kept = grown
    }
    bytes.copy(this.#kept, this.#keptBytes)
    this.#keptBytes = end
  }
}
