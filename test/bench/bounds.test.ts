// What makes a benchmark fail: its goals, its bounds, and figures on either side of them.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Goal } from '#bench/benchmark.js'
import { type Bounds, boundOf, judge, readBounds } from '#bench/bounds.js'

const AT_MOST: Goal = { id: 'small', title: 'small is good', ratio: 1, atMost: 1 }
const AT_LEAST: Goal = { id: 'large', title: 'large is good', ratio: 2, atLeast: 2 }
const BOUNDS: Bounds = { bounds: { small: 1.2, large: 1.5 }, shortMargin: 1.5, shortBounds: {} }

describe('the bound of a goal', () => {
  it('is the one that is written, further away in the short form', () => {
    assert.deepEqual([boundOf(AT_MOST, BOUNDS, false), boundOf(AT_MOST, BOUNDS, true)], [1.2, 1.8])
    assert.deepEqual([boundOf(AT_LEAST, BOUNDS, false), boundOf(AT_LEAST, BOUNDS, true)], [1.5, 1])
  })

  it('is its own in the short form where it has one', () => {
    const bounds = { ...BOUNDS, shortBounds: { small: 1.3 } }
    assert.deepEqual([boundOf(AT_MOST, bounds, false), boundOf(AT_MOST, bounds, true)], [1.2, 1.3])
  })

  it('is the goal where none is written', () => {
    assert.equal(boundOf({ title: 'x', ratio: 3, atMost: 4 }, BOUNDS, true), 4)
    assert.equal(boundOf({ title: 'x', ratio: 3, atLeast: 2 }, BOUNDS, true), 2)
  })
})

describe('a figure', () => {
  it('reaches its goal, misses it within the bound, and fails beyond', () => {
    const judged = (goal: Goal, bound: number, ratios: readonly number[]) =>
      ratios.map((ratio) => judge({ ...goal, ratio }, bound))
    assert.deepEqual(judged(AT_MOST, 1.2, [0.5, 1, 1.01, 1.2, 1.21]), [
      'reached',
      'reached',
      'missed',
      'missed',
      'FAILED',
    ])
    assert.deepEqual(judged(AT_LEAST, 1.5, [9, 2, 1.99, 1.5, 1.49]), [
      'reached',
      'reached',
      'missed',
      'missed',
      'FAILED',
    ])
  })

  it('that was not measured fails', () => {
    assert.deepEqual(
      [judge({ ...AT_MOST, ratio: Number.NaN }, 9), judge({ ...AT_LEAST, ratio: Number.NaN }, 0)],
      ['FAILED', 'FAILED'],
    )
  })
})

it('every bound of the short form is one of the full form, and above nothing', () => {
  const { bounds, shortBounds } = readBounds()
  for (const id of Object.keys(shortBounds)) assert.ok(id in bounds, `${id} has a bound in the short form alone`)
  for (const [id, bound] of Object.entries({ ...bounds, ...shortBounds })) assert.ok(bound > 0, id)
})
