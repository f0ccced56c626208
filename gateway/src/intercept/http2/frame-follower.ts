// Follows the frames of one direction of an HTTP/2 connection (RFC 9113, section 4.1) by their heads alone: which comes, and whether
// one that has begun is to be ended soon. nghttp2 reads past JavaScript and says neither. No I/O.

const FRAME_HEAD_BYTES = 9
/** Of a payload that is looked at: the last stream and the error code of a GOAWAY. */
const GOAWAY_BYTES = 8
const PREFACE_BYTES = 24

const DATA = 0
const HEADERS = 1
const GOAWAY = 7
const CONTINUATION = 9
const END_HEADERS = 4

export class FrameFollower {
  readonly #onGoaway: (errorCode: number) => void
  /** Bytes of the client's preface that have not come. */
  #prefaceLeft: number
  readonly #head = Buffer.alloc(FRAME_HEAD_BYTES)
  #headBytes = 0
  #payloadLeft = 0
  readonly #goaway = Buffer.alloc(GOAWAY_BYTES)
  #goawayBytes = 0
  /** A header block has begun and not ended. */
  #isBlockOpen = false

  /** @param hasPreface whether this is the direction from a client */
  constructor(hasPreface: boolean, onGoaway: (errorCode: number) => void = () => {}) {
    this.#prefaceLeft = hasPreface ? PREFACE_BYTES : 0
    this.#onGoaway = onGoaway
  }

  /** Whether the preface, a head or a control frame is on its way: a client that means it ends these at once. */
  get isInHead(): boolean {
    const isInFrame = this.#headBytes > 0 && this.#head[3] !== DATA
    return this.#prefaceLeft > 0 || this.#isBlockOpen || isInFrame
  }

  push(bytes: Buffer): void {
    let at = Math.min(this.#prefaceLeft, bytes.length)
    this.#prefaceLeft -= at
    while (at < bytes.length) at = this.#payloadLeft > 0 ? this.#skipPayload(bytes, at) : this.#readHead(bytes, at)
  }

  #readHead(bytes: Buffer, from: number): number {
    // What is left of the head before stands there as long as this one is not whole.
    if (this.#headBytes === 0) this.#head[3] = CONTINUATION
    const end = Math.min(from + FRAME_HEAD_BYTES - this.#headBytes, bytes.length)
    this.#headBytes += bytes.copy(this.#head, this.#headBytes, from, end)
    if (this.#headBytes < FRAME_HEAD_BYTES) return end
    this.#payloadLeft = this.#head.readUIntBE(0, 3)
    this.#goawayBytes = 0
    if (this.#payloadLeft === 0) this.#endFrame()
    return end
  }

  #skipPayload(bytes: Buffer, from: number): number {
    const end = Math.min(from + this.#payloadLeft, bytes.length)
    if (this.#head[3] === GOAWAY && this.#goawayBytes < GOAWAY_BYTES) {
      this.#goawayBytes += bytes.copy(this.#goaway, this.#goawayBytes, from, end)
      if (this.#goawayBytes === GOAWAY_BYTES) this.#onGoaway(this.#goaway.readUInt32BE(4))
    }
    this.#payloadLeft -= end - from
    if (this.#payloadLeft === 0) this.#endFrame()
    return end
  }

  #endFrame(): void {
    const [type, flags = 0] = this.#head.subarray(3, 5)
    if (type === HEADERS || type === CONTINUATION) this.#isBlockOpen = (flags & END_HEADERS) === 0
    this.#headBytes = 0
  }
}
