// The clock by which limits of time are judged. It counts time in which something could be read, and no other: a process that is
// stopped (SIGSTOP, a paused container, a snapshot) or whose event loop is blocked reads nothing, and what waits for it in the
// kernel meanwhile has come in time.
//
// Rules:
// - Its owner winds it once an interval. From one winding to the next it goes on by two intervals at most, however late that is.
// - An event is stamped with `now`. A limit is judged at `readUntil`, the winding before the last one: between the two the event loop
//   has been round once, so whatever had come by then has been read. A limit passes up to two intervals late, and never early.

/** What is seen of it by those that do not wind it. Milliseconds. */
export interface LimitTime {
  readonly now: number
  /** Everything that had come by then has been read. */
  readonly readUntil: number
}

export class LimitClock implements LimitTime {
  readonly #maxStepMs: number
  readonly #monotonic: () => number
  #readUntil = 0
  #time = 0
  #woundAt: number

  /** @param monotonic milliseconds of a clock that never stands still */
  constructor(intervalMs: number, monotonic: () => number = () => performance.now()) {
    this.#maxStepMs = 2 * intervalMs
    this.#monotonic = monotonic
    this.#woundAt = monotonic()
  }

  get now(): number {
    return this.#time + Math.min(this.#monotonic() - this.#woundAt, this.#maxStepMs)
  }

  get readUntil(): number {
    return this.#readUntil
  }

  wind(): void {
    const monotonic = this.#monotonic()
    this.#readUntil = this.#time
    this.#time += Math.min(monotonic - this.#woundAt, this.#maxStepMs)
    this.#woundAt = monotonic
  }
}
