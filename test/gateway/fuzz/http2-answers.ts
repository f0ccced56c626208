// Which streams of an HTTP/2 connection have ended, read off the frames that its peer sends.

import { FLAG, FRAME } from '../../support/raw-http2.js'

export class Http2Answers {
  readonly #ended = new Set<number>()
  readonly #waiting = new Set<() => void>()
  #received: Buffer = Buffer.alloc(0)
  #isOver = false

  /** The connection is given up, or gone. */
  get isOver(): boolean {
    return this.#isOver
  }

  push(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes])
    while (this.#takeFrame());
    this.#wake()
  }

  end(): void {
    this.#isOver = true
    this.#wake()
  }

  /** Resolves when all of `ids` have ended, or the connection has. */
  async untilEnded(ids: readonly number[]): Promise<void> {
    while (!this.#isOver && !ids.every((id) => this.#ended.has(id))) {
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  #takeFrame(): boolean {
    const bytes = this.#received
    if (bytes.length < 9) return false
    const end = 9 + bytes.readUIntBE(0, 3)
    if (bytes.length < end) return false
    this.#received = bytes.subarray(end)
    const [type, flags, id] = [bytes[3] as number, bytes[4] as number, bytes.readUInt32BE(5)]
    const isLast = (type === FRAME.data || type === FRAME.headers) && (flags & FLAG.endStream) !== 0
    if (isLast || type === FRAME.reset) this.#ended.add(id)
    if (type === FRAME.goaway) this.#isOver = true
    return true
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}
