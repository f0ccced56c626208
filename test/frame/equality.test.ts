// The implementations against each other: the same memory afterwards, frames and all around them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { maxPayloadBytes } from '#src/protocol/chunk.js'
import { encodeFramesInTypeScript, headroomFor } from '#src/protocol/frame.js'
import { requireNativeEncodeFrames } from './implementations.js'

const CASES = 100_000
const MAX_LENGTH = 200_000
const EDGES = [0, 1, 4, 16, 48, 64, 123, 124, 127, 128, 16_383, 16_384, 32_764, 32_765, 65_528, 65_531, 65_532, 131_072]

/** xorshift32: cases that a seed brings back. */
function createRandom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

/** Mostly short and around edges, so that all cases together are no more than a few seconds of masking. */
function pickLength(random: (below: number) => number): number {
  const kind = random(100)
  if (kind === 0) return random(MAX_LENGTH + 1)
  if (kind < 12) return Math.max(0, (EDGES[random(EDGES.length)] as number) + random(5) - 2)
  return random(kind < 60 ? 300 : 4_000)
}

function pickLimit(random: (below: number) => number, length: number): number {
  const kind = random(10)
  if (kind < 5) return 32_768
  if (kind < 7) return 0x7fff_ffff
  return 3 + Math.floor(length / 64) + random(400)
}

test('native and TypeScript leave the same bytes behind, 100,000 times', () => {
  const encodeNatively = requireNativeEncodeFrames()
  const seed = Date.now() | 1
  const random = createRandom(seed)
  const source = Buffer.from(Uint32Array.from({ length: 131_072 }, () => random(2 ** 32)).buffer)
  const memory = [new ArrayBuffer(source.length), new ArrayBuffer(source.length)] as const
  for (let index = 0; index < CASES; index++) {
    const length = pickLength(random)
    const limit = pickLimit(random, length)
    const headroom = headroomFor(length, limit)
    const [shift, before, behind] = [random(16), random(16), random(16)]
    const size = before + headroom + length + behind
    const sourceAt = random(source.length - size)
    const keyOffset = random(source.length - 4 * Math.ceil(length / maxPayloadBytes(limit)))
    const [one, other] = memory.map((buffer) => new Uint8Array(buffer, shift, size)) as [Uint8Array, Uint8Array]
    one.set(source.subarray(sourceAt, sourceAt + size))
    other.set(one)
    const context = `case ${index} of seed ${seed}: length ${length}, limit ${limit}, shift ${shift + before + headroom}`
    assert.equal(encodeNatively(one, before + headroom, length, limit, source, keyOffset), headroom, context)
    assert.equal(
      encodeFramesInTypeScript(other, before + headroom, length, limit, source, keyOffset),
      headroom,
      context,
    )
    assert.equal(Buffer.compare(one, other), 0, context)
  }
})
