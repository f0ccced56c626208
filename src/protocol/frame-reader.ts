// From what a gateway sends to the payload in its chunks: the reading half of a WebSocket client (RFC 6455, sections 5.2 to 5.5
// and 7.1.5), and the chunks in its messages. Bytes in, events out; no I/O.
//
// Rules:
// - The usual message is one frame with one chunk in it that takes all of the frame. Once its headers are seen nothing about it
//   can be wrong any more, so its payload is told while it arrives.
// - Any other message is put together first, in memory that grows with what has arrived, and decoded as a whole.
// - The payload of one read is told in one piece: what headers had cut is moved together where it lies.
// - Of the pings in one read the last is told: it is the one that has to be answered (section 5.5.3).
// - A chunk that ends the gateway's direction is told after what came before it; data after it breaks a rule.
// - A Close frame, or the first thing that breaks a rule, is the last that is told.

import { isUtf8 } from 'node:buffer'
import { ChunkDecodeError, decodeChunk } from './chunk.js'

/** What a gateway did that breaks a rule. */
export interface FrameFault {
  /** What the Close frame for it says (RFC 6455, section 7.4.1). */
  readonly closeCode: 1002 | 1003 | 1007 | 1009
  /** Completes "the gateway sent". */
  readonly detail: string
}

/** What a FrameReader tells. */
export interface FrameReaderHandler {
  /** Payload of chunks, in order; never empty. It lies in what was pushed, or in memory that nobody else has. */
  frameOnData(payload: Uint8Array): void
  /** The gateway sends no more data; pings and a Close frame may still come. Once. */
  frameOnEnd(): void
  /** To be answered with a pong of the same `body`, which is at most 125 bytes. */
  frameOnPing(body: Uint8Array): void
  frameOnPong(): void
  /** @param code of the Close frame; 1005 when it has none */
  frameOnClose(code: number): void
  frameOnFault(fault: FrameFault): void
}

const FINAL = 0x80
const RESERVED = 0x70
const OPCODE = 0x0f
const MASKED = 0x80
const LENGTH_IN_16_BITS = 126
const MAX_CONTROL_BYTES = 125

const OPCODE_CONTINUATION = 0x0
const OPCODE_TEXT = 0x1
const OPCODE_BINARY = 0x2
const OPCODE_CLOSE = 0x8
const OPCODE_PING = 0x9
const OPCODE_PONG = 0xa
const FINAL_BINARY = FINAL | OPCODE_BINARY

/** Instead of a place: more bytes are needed. */
const CUT_OFF = -1
/** Instead of a place: there is no chunk that takes all of the frame. */
const NO_ONLY_CHUNK = -2

const NOTHING = new Uint8Array(0)

/** Reads what one gateway sends behind its 101. */
export class FrameReader {
  readonly #handler: FrameReaderHandler
  readonly #maxMessageBytes: number
  /** A header or a control frame that did not come whole; at most 127 bytes. */
  #cutOff: Uint8Array = NOTHING
  /** Bytes of the data frame at hand that are still to come. */
  #remaining = 0
  #isFinal = true
  /** Whether a message goes on in the next data frame. */
  #isFragmented = false
  /** The message that is put together; undefined while payload is told as it comes. */
  #message: MessageMemory | undefined
  #ping: Uint8Array | undefined
  #hasEnded = false
  /** Whether no more data may come. */
  #isDataOver = false
  /** The payload that is to be told. */
  #memory: Uint8Array = NOTHING
  #payloadStart = 0
  #payloadEnd = 0

  /** @param maxMessageBytes of a message, with the framing of its chunks */
  constructor(handler: FrameReaderHandler, maxMessageBytes: number) {
    this.#handler = handler
    this.#maxMessageBytes = maxMessageBytes
  }

  /** Takes the next bytes, of which nothing is kept. Payload is moved in them, so they must not be needed elsewhere. */
  push(bytes: Uint8Array): void {
    const read = this.#cutOff.length === 0 ? bytes : Buffer.concat([this.#cutOff, bytes])
    this.#cutOff = NOTHING
    for (let at = 0; at < read.length && !this.#hasEnded; ) {
      const next = this.#remaining > 0 ? this.#readPayload(read, at) : this.#readHeader(read, at)
      if (next === CUT_OFF) this.#cutOff = new Uint8Array(read.subarray(at))
      at = next === CUT_OFF ? read.length : next
    }
    this.#tellPayload()
    this.#tellPing()
  }

  // -- Frames --------------------------------------------------------------------------------------------------------------

  /** Of the frame at `at`: where what comes behind its header begins, or behind a control frame. */
  #readHeader(read: Uint8Array, at: number): number {
    const first = read[at] as number
    const second = read[at + 1]
    if (second === undefined) return CUT_OFF
    if (first !== FINAL_BINARY || second >= MASKED || this.#isFragmented) {
      const detail = findFault(first, second, this.#isFragmented)
      if (detail !== undefined) return this.#fail(1002, detail)
    }
    const start = at + 2 + lengthFieldBytes(second)
    if (start > read.length) return CUT_OFF
    const length = second < LENGTH_IN_16_BITS ? second : readBigEndian(read, at + 2, start)
    if ((first & OPCODE) >= OPCODE_CLOSE) return this.#readControlFrame(first & OPCODE, read, start, start + length)
    if ((first & OPCODE) === OPCODE_TEXT) return this.#fail(1003, 'text')
    return this.#beginDataFrame(first, read, start, length)
  }

  #readControlFrame(opcode: number, read: Uint8Array, start: number, end: number): number {
    if (end > read.length) return CUT_OFF
    const body = read.subarray(start, end)
    if (opcode === OPCODE_PING) this.#ping = new Uint8Array(body)
    else if (opcode === OPCODE_PONG) this.#handler.frameOnPong()
    else this.#readClose(body)
    return end
  }

  #readClose(body: Uint8Array): void {
    const code = body.length === 0 ? 1005 : readBigEndian(body, 0, 2)
    if (body.length === 1 || (body.length > 0 && !isCloseCode(code))) {
      this.#fail(1002, 'a Close frame without a valid code')
    } else if (!isUtf8(body.subarray(2))) {
      this.#fail(1007, 'a Close frame whose reason is not UTF-8')
    } else {
      this.#finish()
      this.#handler.frameOnClose(code)
    }
  }

  #beginDataFrame(first: number, read: Uint8Array, start: number, length: number): number {
    if (length + (this.#message?.length ?? 0) > this.#maxMessageBytes)
      return this.#fail(1009, 'a message that is too long')
    if (this.#isDataOver) return this.#fail(1002, 'a message after its end')
    const payload = first === FINAL_BINARY ? findOnlyChunk(read, start, length) : NO_ONLY_CHUNK
    if (payload === CUT_OFF) return CUT_OFF
    this.#isFinal = first >= FINAL
    this.#isFragmented = !this.#isFinal
    if (payload !== NO_ONLY_CHUNK) {
      this.#remaining = start + length - payload
      return payload
    }
    this.#message ??= new MessageMemory()
    this.#remaining = length
    if (length === 0) this.#endDataFrame()
    return start
  }

  #readPayload(read: Uint8Array, at: number): number {
    const end = Math.min(at + this.#remaining, read.length)
    this.#remaining -= end - at
    if (this.#message === undefined) {
      this.#gather(read, at, end)
    } else {
      this.#message.append(read.subarray(at, end))
      if (this.#remaining === 0) this.#endDataFrame()
    }
    return end
  }

  #endDataFrame(): void {
    if (!this.#isFinal || this.#message === undefined) return
    const { bytes } = this.#message
    this.#message = undefined
    try {
      const { payloads, isEnd } = decodeChunk(bytes)
      for (const { byteOffset, length } of payloads) {
        const start = byteOffset - bytes.byteOffset
        this.#gather(bytes, start, start + length)
      }
      if (isEnd) this.#endData()
    } catch (error) {
      if (!(error instanceof ChunkDecodeError)) throw error
      this.#fail(1007, `a chunk that does not parse: ${error.message}`)
    }
  }

  #endData(): void {
    this.#isDataOver = true
    this.#tellPayload()
    this.#handler.frameOnEnd()
  }

  // -- Events --------------------------------------------------------------------------------------------------------------

  /** Adds to what is to be told. Where a header is between, the shorter side is moved. */
  #gather(memory: Uint8Array, start: number, end: number): void {
    if (memory !== this.#memory) {
      this.#tellPayload()
      this.#memory = memory
      this.#payloadStart = start
      this.#payloadEnd = end
    } else if (end - start <= this.#payloadEnd - this.#payloadStart) {
      memory.copyWithin(this.#payloadEnd, start, end)
      this.#payloadEnd += end - start
    } else {
      const gap = start - this.#payloadEnd
      memory.copyWithin(this.#payloadStart + gap, this.#payloadStart, this.#payloadEnd)
      this.#payloadStart += gap
      this.#payloadEnd = end
    }
  }

  #tellPayload(): void {
    const memory = this.#memory
    this.#memory = NOTHING
    if (memory !== NOTHING) this.#handler.frameOnData(memory.subarray(this.#payloadStart, this.#payloadEnd))
  }

  #tellPing(): void {
    const ping = this.#ping
    this.#ping = undefined
    if (ping !== undefined && !this.#hasEnded) this.#handler.frameOnPing(ping)
  }

  /** What came before is told first. */
  #finish(): void {
    this.#hasEnded = true
    this.#tellPayload()
  }

  /** Any place does as the next: nothing is read any more. */
  #fail(closeCode: FrameFault['closeCode'], detail: string): number {
    this.#finish()
    this.#handler.frameOnFault({ closeCode, detail })
    return 0
  }
}

/** Completes "the gateway sent" for a frame that must not stand here; undefined when nothing is wrong with its first two bytes. */
function findFault(first: number, second: number, isFragmented: boolean): string | undefined {
  if ((first & RESERVED) !== 0) return 'a frame with a reserved bit'
  if (second >= MASKED) return 'a masked frame'
  switch (first & OPCODE) {
    case OPCODE_CONTINUATION:
      return isFragmented ? undefined : 'a continuation of nothing'
    case OPCODE_TEXT:
    case OPCODE_BINARY:
      return isFragmented ? 'a message inside another' : undefined
    case OPCODE_CLOSE:
    case OPCODE_PING:
    case OPCODE_PONG:
      if (first < FINAL) return 'a fragmented control frame'
      return second > MAX_CONTROL_BYTES ? 'a control frame that is too long' : undefined
    default:
      return 'a frame with an unknown opcode'
  }
}

function lengthFieldBytes(second: number): 0 | 2 | 8 {
  if (second < LENGTH_IN_16_BITS) return 0
  return second === LENGTH_IN_16_BITS ? 2 : 8
}

/** Inexact above 2^53, which is above every limit. */
function readBigEndian(bytes: Uint8Array, start: number, end: number): number {
  let value = 0
  for (let at = start; at < end; at++) value = value * 256 + (bytes[at] as number)
  return value
}

/** Codes that may stand in a Close frame (RFC 6455, section 7.4, and its registry at IANA). */
function isCloseCode(code: number): boolean {
  if (code >= 3000) return code <= 4999
  return code >= 1000 && code <= 1014 && !(code >= 1004 && code <= 1006)
}

const DATA_TAG = 0x0a
/** Bytes of a length (chunk.ts). */
const MAX_LENGTH_BYTES = 5

/** Where the payload begins of a chunk that takes all of the `length` bytes from `start`; CUT_OFF while that cannot be said. */
function findOnlyChunk(read: Uint8Array, start: number, length: number): number {
  const end = start + length
  const lengthEnd = Math.min(start + 1 + MAX_LENGTH_BYTES, end)
  if (length < 2) return NO_ONLY_CHUNK
  if (start === read.length) return CUT_OFF
  if (read[start] !== DATA_TAG) return NO_ONLY_CHUNK
  let chunkLength = 0
  let scale = 1
  for (let at = start + 1; at < lengthEnd; at++) {
    const byte = read[at]
    if (byte === undefined) return CUT_OFF
    chunkLength += (byte & 0x7f) * scale
    if (byte < 0x80) return chunkLength === end - at - 1 ? at + 1 : NO_ONLY_CHUNK
    scale *= 128
  }
  return NO_ONLY_CHUNK
}

/** A message that is put together. It grows with what arrives: what is announced takes nothing. */
class MessageMemory {
  #memory = new Uint8Array(0)
  length = 0

  append(bytes: Uint8Array): void {
    const length = this.length + bytes.length
    if (length > this.#memory.length) {
      const memory = new Uint8Array(2 * length)
      memory.set(this.bytes)
      this.#memory = memory
    }
    this.#memory.set(bytes, this.length)
    this.length = length
  }

  get bytes(): Uint8Array {
    return this.#memory.subarray(0, this.length)
  }
}
