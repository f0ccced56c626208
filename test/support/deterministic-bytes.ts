// Bodies for tests: the same bytes each time, and how to tell that they came whole.

import { createHash } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'

/** How many bytes there were, and their SHA-256 in hex. */
export interface Digest {
  readonly bytes: number
  readonly sha256: string
}

const BLOCK_BYTES = 65_536

/** `count` bytes, the same ones each time, in blocks that differ from each other. */
export function* deterministicBytes(count: number): Generator<Buffer> {
  const block = Buffer.from(Array.from({ length: BLOCK_BYTES }, (_, index) => (index * 31 + (index >> 8)) & 0xff))
  for (let at = 0; at < count; at += BLOCK_BYTES) {
    const copy = Buffer.from(block.subarray(0, Math.min(BLOCK_BYTES, count - at)))
    if (copy.length >= 4) copy.writeUInt32BE(at / BLOCK_BYTES)
    yield copy
  }
}

/** Of a stream, to its end. */
export async function digest(source: AsyncIterable<Uint8Array>): Promise<Digest> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of source) {
    hash.update(chunk)
    bytes += chunk.length
  }
  return { bytes, sha256: hash.digest('hex') }
}

/** Of `count` deterministicBytes(). */
export function digestOf(count: number): Digest {
  const hash = createHash('sha256')
  for (const block of deterministicBytes(count)) hash.update(block)
  return { bytes: count, sha256: hash.digest('hex') }
}

/** Hands `source` on with a pause for every piece, far slower than a peer on the same machine sends. */
export async function* slowly(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const piece of source) {
    for (let turn = 0; turn < 20; turn++) await nextTurn()
    yield piece
  }
}
