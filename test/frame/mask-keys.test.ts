// Which keys are handed out, from a source of which every byte is known.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MaskKeys } from '#src/protocol/mask-keys.js'

/** Fills with these keys first, and counts up from 01000000 when they are used up. */
function sourceOf(...keys: string[]): (bytes: Uint8Array) => void {
  const first = keys.map((key) => Number.parseInt(key, 16))
  let next = 0x0100_0000
  return (bytes) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    for (let at = 0; at < bytes.length; at += 4) view.setUint32(at, first.shift() ?? next++)
  }
}

function take(keys: MaskKeys, count: number): string[] {
  const offset = keys.take(count)
  const bytes = Buffer.from(keys.bytes.subarray(offset, offset + 4 * count))
  return Array.from({ length: count }, (_, index) => bytes.toString('hex', 4 * index, 4 * index + 4))
}

test('hands out the keys of the source in order', () => {
  const keys = new MaskKeys(sourceOf('00000001', 'ffffffff', '80000000'))
  assert.deepEqual(take(keys, 1), ['00000001'])
  assert.deepEqual(take(keys, 0), [])
  assert.deepEqual(take(keys, 3), ['ffffffff', '80000000', '01000000'])
})

test('never hands out zero', () => {
  const keys = new MaskKeys(sourceOf('00000000', '00000002', '00000000', '00000000', '00000003', '00000000'))
  assert.deepEqual(take(keys, 3), ['00000002', '00000003', '01000000'])
})

test('never hands out the same key twice in a row', () => {
  const keys = new MaskKeys(
    sourceOf('00000002', '00000002', '00000002', '00000003', '00000000', '00000003', '00000002'),
  )
  assert.deepEqual(take(keys, 4), ['00000002', '00000003', '00000002', '01000000'])
})

test('never hands out the same key across a refill, and forgets those that were left', () => {
  const pool = Array.from({ length: 2048 }, (_, index) => (index + 1).toString(16).padStart(8, '0'))
  const keys = new MaskKeys(sourceOf(...pool, '000007ff', '0000aaaa', '0000aaaa'))
  assert.equal(take(keys, 2047).at(-1), '000007ff')
  assert.deepEqual(take(keys, 2), ['0000aaaa', '01000000'])
})

test('hands out more keys than the pool holds, and fills again for those that were dropped', () => {
  const keys = new MaskKeys(sourceOf('00000005', '00000000', '00000005'))
  const taken = take(keys, 10_000)
  assert.deepEqual(taken.slice(0, 2), ['00000005', '01000000'])
  assert.equal(new Set(taken).size, 10_000)
})

test('takes keys from the system that do not repeat', () => {
  const keys = new MaskKeys()
  const taken = Array.from({ length: 10_000 }, () => take(keys, 1)).flat()
  // By chance, two of 10,000 keys are the same once in 86 runs; ten are in none.
  assert.ok(new Set(taken).size > 9_990)
  assert.ok(taken.every((key, index) => key !== '00000000' && key !== taken[index - 1]))
})
