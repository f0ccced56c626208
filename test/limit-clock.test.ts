// What the clock of limits counts, at a time of the test's own. With a real stop: relay/stopped.long.test.ts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LimitClock } from '#src/limit-clock.js'

/** A clock that is wound once a second, with the time that never stands still. */
function clockAt(start: number) {
  let time = start
  const clock = new LimitClock(1_000, () => time)
  const pass = (ms: number): LimitClock => {
    time += ms
    return clock
  }
  const windAfter = (ms: number): [now: number, readUntil: number] => {
    pass(ms).wind()
    return [clock.now, clock.readUntil]
  }
  return { clock, pass, windAfter }
}

test('goes as time does while it is wound in time, and a little late', () => {
  const { clock, pass, windAfter } = clockAt(5_000)
  assert.deepEqual(windAfter(1_000), [1_000, 0])
  assert.deepEqual(windAfter(1_999), [2_999, 1_000])
  assert.equal(pass(500).now, 3_499)
  assert.deepEqual(windAfter(500), [3_999, 2_999])
  assert.equal(clock.now, 3_999)
})

test('counts two intervals of a stop, however long', () => {
  const { pass, windAfter } = clockAt(0)
  assert.deepEqual(windAfter(1_000), [1_000, 0])
  assert.deepEqual(windAfter(60_000), [3_000, 1_000])
  assert.deepEqual(windAfter(1_000), [4_000, 3_000])
  assert.equal(pass(3_600_000).now, 6_000)
})

test('does not go back when it is wound after what was read behind a stop', () => {
  const { pass, windAfter } = clockAt(0)
  windAfter(1_000)
  const read = pass(60_000).now
  assert.deepEqual(windAfter(5), [read, 1_000])
})
