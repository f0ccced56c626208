// The chunk codec: `message UpstreamProxyChunk { bytes data = 1; bool end = 2; }` in proto3 encoding
// (https://protobuf.dev/programming-guides/encoding/). Bytes in, bytes out; no I/O.
//
// Rules:
// - A chunk on the wire is 0x0a (field 1, wire type 2), the payload's length as a varint, the payload.
// - `end` says that its side sends no more data, as a FIN does in TCP. It goes in a chunk of its own, END_CHUNK. Who does not know it
//   skips it.
// - A message is at most MAX_MESSAGE_BYTES in all: common Go WebSocket readers stop at 32,768 bytes.
// - Decoding follows proto3: unknown fields are skipped by wire type, a varint is at most ten bytes long (five for a tag
//   or a length, which have 32 bits), and a message that does not parse is an error for the whole tunnel. When `data` stands more than once the pieces are
//   a byte stream's, so all of them are delivered in order.

/** The largest WebSocket message that is sent, framing of the chunk included. */
export const MAX_MESSAGE_BYTES = 32_768

/** Bytes that the header of a chunk with `payloadLength` bytes takes: the tag and the varint. */
export function chunkHeaderLength(payloadLength: number): number {
  let length = 2
  for (let rest = payloadLength; rest > 0x7f; rest = Math.floor(rest / 128)) length++
  return length
}

/** The largest payload whose chunk still fits a message of `maxMessageBytes`. */
export function maxPayloadBytes(maxMessageBytes: number = MAX_MESSAGE_BYTES): number {
  for (let headerLength = 2; ; headerLength++) {
    const payloadLength = maxMessageBytes - headerLength
    if (payloadLength < 0) throw new RangeError(`a message of ${maxMessageBytes} bytes has no room for a chunk`)
    if (chunkHeaderLength(payloadLength) <= headerLength) return payloadLength
  }
}

/** Writes the chunk header for `payloadLength` bytes into `target` at `offset`; returns its length. */
export function writeChunkHeader(target: Uint8Array, offset: number, payloadLength: number): number {
  let at = offset
  target[at++] = 0x0a
  let rest = payloadLength
  while (rest > 0x7f) {
    target[at++] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  target[at++] = rest
  return at - offset
}

/** One chunk that carries `payload`, whatever its length. */
export function encodeChunk(payload: Uint8Array): Uint8Array {
  const headerLength = chunkHeaderLength(payload.length)
  const message = new Uint8Array(headerLength + payload.length)
  writeChunkHeader(message, 0, payload.length)
  message.set(payload, headerLength)
  return message
}

/** The chunk that ends one direction: field 2, wire type 0, true. */
export const END_CHUNK: Uint8Array = Uint8Array.of(0x10, 0x01)

/** What a chunk carries. */
export interface Chunk {
  /** Views into the message, in order; empty ones are left out. */
  readonly payloads: readonly Uint8Array[]
  /** Whether its side sends nothing after them. */
  readonly isEnd: boolean
}

/** Cuts `bytes` into pieces that each fit one message; views, not copies. No bytes, no pieces. */
export function* splitPayload(bytes: Uint8Array, maxMessageBytes: number = MAX_MESSAGE_BYTES): Generator<Uint8Array> {
  const step = maxPayloadBytes(maxMessageBytes)
  for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step)
}

/** A message that is no UpstreamProxyChunk. */
export class ChunkDecodeError extends Error {
  override readonly name = 'ChunkDecodeError'
}

const WIRE_VARINT = 0
const WIRE_FIXED64 = 1
const WIRE_LENGTH_DELIMITED = 2
const WIRE_START_GROUP = 3
const WIRE_END_GROUP = 4
const WIRE_FIXED32 = 5
/** A varint of 64 bits, and one of 32, as tags and lengths are. */
const MAX_VARINT_BYTES = 10
const MAX_VARINT32_BYTES = 5
/** protobuf's own limit for nested groups in most implementations. */
const MAX_GROUP_DEPTH = 100

/**
 * What `message` carries. Of an `end` that stands more than once the last counts, as of any single field.
 * @throws {ChunkDecodeError} when the message does not parse
 */
export function decodeChunk(message: Uint8Array): Chunk {
  const reader = new FieldReader(message)
  const payloads: Uint8Array[] = []
  let isEnd = false
  while (!reader.done) {
    const { field, wireType } = reader.tag()
    if (field === 1 && wireType === WIRE_LENGTH_DELIMITED) {
      const payload = reader.bytes()
      if (payload.length > 0) payloads.push(payload)
    } else if (field === 2 && wireType === WIRE_VARINT) {
      isEnd = reader.varint(MAX_VARINT_BYTES) !== 0
    } else {
      reader.skip(field, wireType, 0)
    }
  }
  return { payloads, isEnd }
}

class FieldReader {
  readonly #message: Uint8Array
  #at = 0

  constructor(message: Uint8Array) {
    this.#message = message
  }

  get done(): boolean {
    return this.#at === this.#message.length
  }

  tag(): { field: number; wireType: number } {
    const tag = this.varint(MAX_VARINT32_BYTES)
    const field = Math.floor(tag / 8)
    if (field === 0 || tag > 0xffff_ffff) throw new ChunkDecodeError('a field number is out of range')
    return { field, wireType: tag % 8 }
  }

  bytes(): Uint8Array {
    const length = this.varint(MAX_VARINT32_BYTES)
    const start = this.#advance(length)
    return this.#message.subarray(start, start + length)
  }

  skip(field: number, wireType: number, depth: number): void {
    switch (wireType) {
      case WIRE_VARINT:
        this.varint(MAX_VARINT_BYTES)
        return
      case WIRE_FIXED64:
        this.#advance(8)
        return
      case WIRE_LENGTH_DELIMITED:
        this.bytes()
        return
      case WIRE_START_GROUP:
        this.#skipGroup(field, depth + 1)
        return
      case WIRE_FIXED32:
        this.#advance(4)
        return
      default:
        throw new ChunkDecodeError(`wire type ${wireType} is not expected here`)
    }
  }

  #skipGroup(field: number, depth: number): void {
    if (depth > MAX_GROUP_DEPTH) throw new ChunkDecodeError('groups are nested too deep')
    for (;;) {
      const inner = this.tag()
      if (inner.wireType !== WIRE_END_GROUP) this.skip(inner.field, inner.wireType, depth)
      else if (inner.field === field) return
      else throw new ChunkDecodeError('a group ends that was not begun')
    }
  }

  /** A varint as a double: exact up to 2^53, which is more than any length here; larger ones stay larger. */
  varint(maxBytes: number): number {
    let value = 0
    let scale = 1
    for (let length = 1; length <= maxBytes; length++) {
      const byte = this.#message[this.#at++]
      if (byte === undefined) throw new ChunkDecodeError('a varint is cut off')
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 128
    }
    throw new ChunkDecodeError(`a varint is longer than ${maxBytes} bytes`)
  }

  #advance(length: number): number {
    const start = this.#at
    if (length > this.#message.length - start) throw new ChunkDecodeError('a field is cut off')
    this.#at = start + length
    return start
  }
}
