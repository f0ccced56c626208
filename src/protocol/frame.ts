// From payload bytes to WebSocket frames for the gateway, in the memory that they were read into.
//
// Rules:
// - Each message is one chunk of at most the size asked for, in one frame: FIN and binary, masked, the length in the
//   shortest of its forms (RFC 6455, section 5.2).
// - Headers go into the room in front of the payload. The last piece is masked where it is; each earlier one moves to the
//   front by the headers behind it. So the frames are one run of bytes, which ends where the payload ended: one write,
//   and over TLS no copy (Node joins several buffers into a new one).
// - There are two implementations with the same output. The addon's is used for all but the smallest payloads.

import { endianness } from 'node:os'
import { type Addon, type AddonLoading, loadAddon } from '../addon.js'
import { chunkHeaderLength, maxPayloadBytes, writeChunkHeader } from './chunk.js'
import { MASK_KEY_BYTES, MaskKeys, readMaskKey } from './mask-keys.js'

/**
 * Turns `buffer[payloadOffset, payloadOffset + payloadLength)` into frames. They end where the payload ended, and begin
 * as many bytes before `payloadOffset` as are returned: `headroomFor(payloadLength, maxMessageBytes)`. Each takes the
 * next four bytes of `keys`, from `keyOffset` on.
 * @throws {RangeError} when an argument is no whole number, or headers, payload or keys are not within their array
 */
export type EncodeFrames = (
  buffer: Uint8Array,
  payloadOffset: number,
  payloadLength: number,
  maxMessageBytes: number,
  keys: Uint8Array,
  keyOffset: number,
) => number

/** Encodes with keys of its own; the one thing that a sender of frames has to keep. */
export class FrameEncoder {
  readonly #maxMessageBytes: number
  readonly #maxPayloadBytes: number
  readonly #encodeFrames: EncodeFrames
  readonly #keys: MaskKeys

  /** @throws {RangeError} when a message of `maxMessageBytes` has no room for a byte of payload */
  constructor(maxMessageBytes: number, encodeFrames: EncodeFrames = selectEncodeFrames(), keys = new MaskKeys()) {
    this.#maxMessageBytes = maxMessageBytes
    this.#maxPayloadBytes = payloadStep(maxMessageBytes)
    this.#encodeFrames = encodeFrames
    this.#keys = keys
  }

  /** Bytes that have to be free in front of a payload of up to `payloadLength` bytes. */
  headroomFor(payloadLength: number): number {
    return headroomFor(payloadLength, this.#maxMessageBytes)
  }

  /** As `EncodeFrames`: how many bytes before `payloadOffset` the frames begin; 0 for no payload. */
  encode(buffer: Uint8Array, payloadOffset: number, payloadLength: number): number {
    const keyOffset = this.#keys.take(Math.ceil(payloadLength / this.#maxPayloadBytes))
    return this.#encodeFrames(buffer, payloadOffset, payloadLength, this.#maxMessageBytes, this.#keys.bytes, keyOffset)
  }
}

/** Bytes of all headers of a payload; no shorter payload needs more. */
export function headroomFor(payloadLength: number, maxMessageBytes: number): number {
  if (payloadLength === 0) return 0
  const step = payloadStep(maxMessageBytes)
  const wholePieces = Math.ceil(payloadLength / step) - 1
  return wholePieces * frameHeaderLength(step) + frameHeaderLength(payloadLength - wholePieces * step)
}

/** The addon's implementation where there is one. */
export function selectEncodeFrames({ addon }: AddonLoading = loadAddon()): EncodeFrames {
  return addon ? createNativeEncodeFrames(addon) : encodeFramesInTypeScript
}

// -- The addon's -------------------------------------------------------------------------------------------------------

/** Below this a call into the addon takes longer than the work (bench/encoder). */
const MIN_NATIVE_BYTES = 48

/** Below `minNativeBytes`, TypeScript. */
export function createNativeEncodeFrames(addon: Addon, minNativeBytes: number = MIN_NATIVE_BYTES): EncodeFrames {
  return (buffer, payloadOffset, payloadLength, maxMessageBytes, keys, keyOffset) => {
    if (payloadLength < minNativeBytes) {
      return encodeFramesInTypeScript(buffer, payloadOffset, payloadLength, maxMessageBytes, keys, keyOffset)
    }
    const result = addon.encodeFrames(buffer, payloadOffset, payloadLength, maxMessageBytes, keys, keyOffset)
    if (result < 0) throw outOfRange()
    return result
  }
}

function outOfRange(): RangeError {
  return new RangeError('the frames do not fit where they are to be written, or a length is out of range')
}

// -- TypeScript's ------------------------------------------------------------------------------------------------------

/** The form of `addon.encodeFrames` without an addon. */
export const encodeFramesInTypeScript: EncodeFrames = (
  buffer,
  payloadOffset,
  payloadLength,
  maxMessageBytes,
  keys,
  keyOffset,
) => {
  assertLengths(payloadOffset, payloadLength, maxMessageBytes, keyOffset)
  const step = payloadStep(maxMessageBytes)
  const headerBytes = headroomFor(payloadLength, maxMessageBytes)
  const keyBytes = Math.ceil(payloadLength / step) * MASK_KEY_BYTES
  if (payloadOffset + payloadLength > buffer.length || headerBytes > payloadOffset) throw outOfRange()
  if (keyOffset + keyBytes > keys.length) throw outOfRange()

  const end = payloadOffset + payloadLength
  let target = payloadOffset - headerBytes
  let keyAt = keyOffset
  for (let source = payloadOffset; source < end; source += step) {
    target = writeFrame(buffer, target, source, Math.min(step, end - source), readMaskKey(keys, keyAt))
    keyAt += MASK_KEY_BYTES
  }
  return headerBytes
}

/** A Protocol Buffers message is smaller than 2 GiB. */
const MAX_LENGTH = 0x7fff_ffff

function assertLengths(payloadOffset: number, payloadLength: number, maxMessageBytes: number, keyOffset: number): void {
  const areWhole = isWhole(payloadOffset) && isWhole(payloadLength) && isWhole(maxMessageBytes) && isWhole(keyOffset)
  if (!areWhole || payloadLength > MAX_LENGTH || maxMessageBytes > MAX_LENGTH) throw outOfRange()
}

function isWhole(number: number): boolean {
  return Number.isSafeInteger(number) && number >= 0
}

/** The payload of every message but the last. */
function payloadStep(maxMessageBytes: number): number {
  const step = maxPayloadBytes(maxMessageBytes)
  if (step === 0) throw new RangeError(`a message of ${maxMessageBytes} bytes has no room for payload`)
  return step
}

const MAX_LENGTH_IN_7_BITS = 125
const MAX_LENGTH_IN_16_BITS = 0xffff
const FINAL_BINARY = 0x82
const MASK = 0x80

function lengthFieldBytes(messageLength: number): 0 | 2 | 8 {
  if (messageLength <= MAX_LENGTH_IN_7_BITS) return 0
  return messageLength <= MAX_LENGTH_IN_16_BITS ? 2 : 8
}

function frameHeaderLength(payloadLength: number): number {
  const chunkHeader = chunkHeaderLength(payloadLength)
  return 2 + lengthFieldBytes(chunkHeader + payloadLength) + MASK_KEY_BYTES + chunkHeader
}

/** Writes one frame at `target`, its payload from `source`: where the frame ends. */
function writeFrame(buffer: Uint8Array, target: number, source: number, length: number, key: number): number {
  const message = writeWebSocketHeader(buffer, target, chunkHeaderLength(length) + length, key)
  const payload = message + writeChunkHeader(buffer, message, length)
  if (payload !== source) buffer.copyWithin(payload, source, source + length)
  mask(buffer, message, payload + length, key)
  return payload + length
}

/** Up to and including the key: where the message begins. */
function writeWebSocketHeader(buffer: Uint8Array, target: number, messageLength: number, key: number): number {
  const field = lengthFieldBytes(messageLength)
  let at = target
  buffer[at++] = FINAL_BINARY
  buffer[at++] = MASK | (field === 0 ? messageLength : field === 2 ? 126 : 127)
  // Most significant byte first. A length is below 2^31, so that a shift by 32 and more, which does nothing, is left out.
  for (let shift = 8 * (field - 1); shift >= 0; shift -= 8) buffer[at++] = shift > 24 ? 0 : messageLength >>> shift
  for (let shift = 0; shift < 32; shift += 8) buffer[at++] = key >>> shift
  return at
}

/** Fewer bytes are masked one by one: a view of words costs more than it gains. */
const MIN_WORD_BYTES = 64

/** Masks in place; `key` is as of `start`. */
function mask(buffer: Uint8Array, start: number, end: number, key: number): void {
  if (end - start < MIN_WORD_BYTES) {
    maskBytes(buffer, start, end, key)
    return
  }
  const aligned = start + (-(buffer.byteOffset + start) & 3)
  const tail = end - ((buffer.byteOffset + end) & 3)
  const alignedKey = rotateKey(key, aligned - start)
  maskBytes(buffer, start, aligned, key)
  maskWords(new Int32Array(buffer.buffer, buffer.byteOffset + aligned, (tail - aligned) / 4), alignedKey)
  maskBytes(buffer, tail, end, alignedKey)
}

function maskBytes(buffer: Uint8Array, start: number, end: number, key: number): void {
  for (let at = start, shift = 0; at < end; at++, shift = (shift + 8) & 31) {
    buffer[at] = (buffer[at] as number) ^ (key >>> shift)
  }
}

/** The key as of `bytes` later. */
function rotateKey(key: number, bytes: number): number {
  return bytes === 0 ? key : (key >>> (8 * bytes)) | (key << (32 - 8 * bytes))
}

const isLittleEndian = endianness() === 'LE'

function maskWords(words: Int32Array, key: number): void {
  const word = isLittleEndian ? key : swapBytes(key)
  const unrolled = words.length & ~3
  for (let at = 0; at < unrolled; at += 4) {
    words[at] = wordAt(words, at) ^ word
    words[at + 1] = wordAt(words, at + 1) ^ word
    words[at + 2] = wordAt(words, at + 2) ^ word
    words[at + 3] = wordAt(words, at + 3) ^ word
  }
  for (let at = unrolled; at < words.length; at++) words[at] = wordAt(words, at) ^ word
}

function wordAt(words: Int32Array, at: number): number {
  return words[at] as number
}

function swapBytes(key: number): number {
  return (key >>> 24) | ((key >>> 8) & 0xff00) | ((key << 8) & 0xff_0000) | (key << 24)
}
