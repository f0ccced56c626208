// The gateway's half of the WebSocket wire, with as little work as can be done: what a client sends is counted by its frame
// headers and unmasked only where somebody asks for the bytes, so that the gateway's CPU is TLS and hardly anything else.

import { createHash } from 'node:crypto'
import { chunkHeaderLength, decodeChunk, writeChunkHeader } from '#src/protocol/chunk.js'

const OPCODE_TEXT = 0x1
const OPCODE_BINARY = 0x2
const OPCODE_CLOSE = 0x8
const OPCODE_PING = 0x9
const OPCODE_PONG = 0xa

/** RFC 6455, section 1.3 */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** The answer to an upgrade request; `protocol` is the subprotocol that is agreed to. */
export function acceptUpgrade(requestHead: string, protocol?: string): string {
  const key = /^sec-websocket-key:[ \t]*(\S+)/im.exec(requestHead)?.[1] ?? ''
  const accept = createHash('sha1').update(`${key}${GUID}`).digest('base64')
  const fields = ['Upgrade: websocket', 'Connection: Upgrade', `Sec-WebSocket-Accept: ${accept}`]
  if (protocol !== undefined) fields.push(`Sec-WebSocket-Protocol: ${protocol}`)
  return ['HTTP/1.1 101 Switching Protocols', ...fields, '', ''].join('\r\n')
}

/** One message with `payload` as its chunk, or with nothing but it. */
export function encodeMessage(payload: Buffer, isChunked: boolean): Buffer {
  if (!isChunked) return encodeFrame(OPCODE_BINARY, payload)
  const header = Buffer.alloc(chunkHeaderLength(payload.length))
  writeChunkHeader(header, 0, payload.length)
  return encodeFrame(OPCODE_BINARY, Buffer.concat([header, payload]))
}

export function encodeText(text: string): Buffer {
  return encodeFrame(OPCODE_TEXT, Buffer.from(text))
}

/** Close frame 1000. */
export function encodeClose(): Buffer {
  return encodeFrame(OPCODE_CLOSE, Buffer.from([0x03, 0xe8]))
}

/** An unmasked frame (RFC 6455, section 5.2). */
function encodeFrame(opcode: number, payload: Buffer): Buffer {
  const { length } = payload
  const header = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10)
  header[0] = 0x80 | opcode
  header[1] = length < 126 ? length : length < 65_536 ? 126 : 127
  if (header.length === 4) header.writeUInt16BE(length, 2)
  if (header.length === 10) header.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([header, payload])
}

/** What the skimmer tells. */
export interface SkimmerHandler {
  /** Whether the bytes of the next message are wanted, or only their number. */
  readonly wantsBytes: boolean
  onPayload(payload: Buffer): void
  onPayloadLength(length: number): void
  onText(text: string): void
  onAnswer(frame: Buffer): void
  onClose(): void
}

/** Reads the frames of a client. */
export class FrameSkimmer {
  readonly #handler: SkimmerHandler
  readonly #isChunked: boolean
  readonly #header = Buffer.alloc(14)
  #headerBytes = 0
  #remaining = 0
  #pieces: Buffer[] | undefined

  /** @param isChunked whether messages are chunks, or the payload itself */
  constructor(handler: SkimmerHandler, isChunked: boolean) {
    this.#handler = handler
    this.#isChunked = isChunked
  }

  push(bytes: Buffer): void {
    let at = 0
    while (at < bytes.length) {
      if (this.#remaining > 0) {
        const taken = Math.min(this.#remaining, bytes.length - at)
        this.#pieces?.push(bytes.subarray(at, at + taken))
        this.#remaining -= taken
        at += taken
        if (this.#remaining === 0) this.#endFrame()
      } else this.#readHeader(bytes[at++] ?? 0)
    }
  }

  #readHeader(byte: number): void {
    this.#header[this.#headerBytes++] = byte
    if (this.#headerBytes < 2 || this.#headerBytes < this.#headerLength) return
    this.#remaining = this.#payloadLength
    this.#pieces = this.#opcode === OPCODE_BINARY && !this.#handler.wantsBytes ? undefined : []
    if (this.#remaining === 0) this.#endFrame()
  }

  get #opcode(): number {
    return (this.#header[0] ?? 0) & 0x0f
  }

  get #lengthCode(): number {
    return (this.#header[1] ?? 0) & 0x7f
  }

  /** With the mask's four bytes. */
  get #headerLength(): number {
    return this.#lengthCode < 126 ? 6 : this.#lengthCode === 126 ? 8 : 14
  }

  get #payloadLength(): number {
    if (this.#lengthCode < 126) return this.#lengthCode
    return this.#lengthCode === 126 ? this.#header.readUInt16BE(2) : Number(this.#header.readBigUInt64BE(2))
  }

  #endFrame(): void {
    const pieces = this.#pieces
    const length = this.#payloadLength
    const opcode = this.#opcode
    const mask = Buffer.from(this.#header.subarray(this.#headerLength - 4, this.#headerLength))
    this.#headerBytes = 0
    if (pieces === undefined) this.#handler.onPayloadLength(this.#isChunked ? lengthInChunk(length) : length)
    else this.#dispatch(opcode, unmask(Buffer.concat(pieces), mask))
  }

  #dispatch(opcode: number, payload: Buffer): void {
    if (opcode === OPCODE_CLOSE) this.#handler.onClose()
    else if (opcode === OPCODE_PING) this.#handler.onAnswer(encodeFrame(OPCODE_PONG, payload))
    else if (opcode === OPCODE_TEXT) this.#handler.onText(payload.toString())
    else if (opcode === OPCODE_BINARY && !this.#isChunked) this.#handler.onPayload(payload)
    else if (opcode === OPCODE_BINARY)
      for (const data of decodeChunk(payload).payloads) this.#handler.onPayload(Buffer.from(data))
  }
}

/** Payload bytes of a message of `messageBytes`, which is one chunk. */
function lengthInChunk(messageBytes: number): number {
  for (let headerBytes = 2; headerBytes <= 6; headerBytes++) {
    const length = messageBytes - headerBytes
    if (length >= 0 && chunkHeaderLength(length) === headerBytes) return length
  }
  return 0
}

function unmask(payload: Buffer, mask: Buffer): Buffer {
  for (let at = 0; at < payload.length; at++) payload[at] = (payload[at] ?? 0) ^ (mask[at & 3] ?? 0)
  return payload
}
