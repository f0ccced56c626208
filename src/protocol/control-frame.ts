// The frames of a client that carry no payload: Close, ping and pong (RFC 6455, section 5.5), and the chunk that ends its direction.
// Masked as all that it sends.

import { END_CHUNK } from './chunk.js'
import { MASK_KEY_BYTES, type MaskKeys } from './mask-keys.js'

const FIRST_BYTES = { end: 0x82, close: 0x88, ping: 0x89, pong: 0x8a } as const
const MASKED = 0x80

/** @param body at most 125 bytes */
export function encodeControlFrame(
  kind: keyof typeof FIRST_BYTES,
  body: Uint8Array,
  keys: MaskKeys,
): Buffer<ArrayBuffer> {
  const frame = Buffer.alloc(2 + MASK_KEY_BYTES + body.length)
  const keyOffset = keys.take(1)
  const key = keys.bytes.subarray(keyOffset, keyOffset + MASK_KEY_BYTES)
  frame[0] = FIRST_BYTES[kind]
  frame[1] = MASKED | body.length
  frame.set(key, 2)
  for (const [at, byte] of body.entries()) frame[2 + MASK_KEY_BYTES + at] = byte ^ (key[at % MASK_KEY_BYTES] as number)
  return frame
}

/** The message that says that nothing more is sent. */
export function encodeEndFrame(keys: MaskKeys): Buffer<ArrayBuffer> {
  return encodeControlFrame('end', END_CHUNK, keys)
}

/** @param code as it came or goes; 1005 stands for none (RFC 6455, section 7.1.5) */
export function encodeCloseFrame(code: number, keys: MaskKeys): Buffer<ArrayBuffer> {
  const body = code === 1005 ? [] : [code >>> 8, code & 0xff]
  return encodeControlFrame('close', Uint8Array.from(body), keys)
}
