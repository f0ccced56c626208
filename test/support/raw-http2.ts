// HTTP/2 frames by hand (RFC 9113, section 4.1), for what no client library would send.

import type { Duplex } from 'node:stream'

export const FRAME = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const
export const FLAG = { endStream: 1, ack: 1, endHeaders: 4 } as const

/** The client's preface and empty settings. */
export const PREFACE = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  encodeFrame(FRAME.settings, 0, 0),
])

export function encodeFrame(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(streamId, 5)
  return Buffer.concat([head, payload])
}

/** A header block of literals, without the compression tables and without Huffman coding (RFC 7541, section 6.2.2). */
export function encodeFields(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), encodeText(name), encodeText(value)]))
}

function encodeText(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1')
  return Buffer.concat([encodeInteger(bytes.length), bytes])
}

/** RFC 7541, section 5.1, with a prefix of seven bits. */
function encodeInteger(value: number): Buffer {
  if (value < 127) return Buffer.from([value])
  const bytes = [127]
  let rest = value - 127
  for (; rest >= 128; rest >>= 7) bytes.push((rest & 0x7f) | 0x80)
  return Buffer.from([...bytes, rest])
}

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly streamId: number
  readonly payload: Buffer
}

/** Reads frames until one is `last`, or the stream ends. */
export async function readFrames(stream: Duplex, last: (frame: Frame) => boolean): Promise<Frame[]> {
  const frames: Frame[] = []
  let pending = Buffer.alloc(0)
  try {
    for await (const bytes of stream) {
      pending = Buffer.concat([pending, bytes as Buffer])
      while (pending.length >= 9 && pending.length >= 9 + pending.readUIntBE(0, 3)) {
        const end = 9 + pending.readUIntBE(0, 3)
        const [type, flags] = [pending[3] as number, pending[4] as number]
        const frame = { type, flags, streamId: pending.readUInt32BE(5), payload: pending.subarray(9, end) }
        pending = pending.subarray(end)
        frames.push(frame)
        if (last(frame)) return frames
      }
    }
  } catch {
    // A reset connection: what came before is what the test looks at.
  }
  return frames
}
