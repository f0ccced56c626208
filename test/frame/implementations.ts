// The ways to encode frames, for suites that run on each; and what reads frames without sharing any code with them.

import assert from 'node:assert/strict'
import { loadAddon } from '#src/addon.js'
import {
  createNativeEncodeFrames,
  type EncodeFrames,
  encodeFramesInTypeScript,
  selectEncodeFrames,
} from '#src/protocol/frame.js'

/** The addon for every length. */
export function requireNativeEncodeFrames(): EncodeFrames {
  const { addon, error } = loadAddon()
  assert.ok(addon, error)
  return createNativeEncodeFrames(addon, 0)
}

export const implementations: readonly (readonly [name: string, encodeFrames: EncodeFrames])[] = [
  ['native', requireNativeEncodeFrames()],
  ['TypeScript', encodeFramesInTypeScript],
  ['selected', selectEncodeFrames()],
]

export function payloadOf(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, index) => (index * 37 + (index >> 8) + 0x41) & 0xff))
}

/** Room in front of a payload and behind it, filled with what must stay. */
const GUARD = 0xee
const ROOM = 64

export interface Encoded {
  readonly frames: Buffer
  /** What is around the frames, all of it still `GUARD`. */
  readonly untouched: boolean
}

/** Encodes a copy of `payload` that begins `shift` bytes off an aligned address. */
export function encode(
  encodeFrames: EncodeFrames,
  payload: Uint8Array,
  keys: Uint8Array,
  maxMessageBytes: number,
  shift = 0,
): Encoded {
  const room = ROOM + 20 * (keys.length / 4) + shift
  const buffer = Buffer.from(new ArrayBuffer(room + payload.length + ROOM)).fill(GUARD)
  buffer.set(payload, room)
  const result = encodeFrames(buffer, room, payload.length, maxMessageBytes, keys, 0)
  const around = Buffer.concat([buffer.subarray(0, room - result), buffer.subarray(room + payload.length)])
  return {
    frames: buffer.subarray(room - result, room + payload.length),
    untouched: around.every((byte) => byte === GUARD),
  }
}

export interface Frame {
  readonly header: string
  readonly message: Buffer
}

/** Cuts frames apart and unmasks them byte by byte. */
export function readFrames(bytes: Buffer): Frame[] {
  const frames: Frame[] = []
  for (let at = 0; at < bytes.length; ) {
    const lengthCode = bytes.readUInt8(at + 1) & 0x7f
    const keyAt = at + 2 + (lengthCode === 127 ? 8 : lengthCode === 126 ? 2 : 0)
    const length =
      lengthCode === 127
        ? Number(bytes.readBigUInt64BE(at + 2))
        : lengthCode === 126
          ? bytes.readUInt16BE(at + 2)
          : lengthCode
    const masked = bytes.subarray(keyAt + 4, keyAt + 4 + length)
    assert.equal(masked.length, length, 'the last frame is cut off')
    frames.push({
      header: bytes.toString('hex', at, keyAt),
      message: masked.map((byte, index) => byte ^ bytes.readUInt8(keyAt + (index % 4))) as Buffer,
    })
    at = keyAt + 4 + length
  }
  return frames
}
