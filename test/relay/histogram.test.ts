// The histogram: which bucket a time falls into, and what is read out of the buckets again.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AGE_BOUNDS_MS, estimateQuantileMs, Histogram, STAGE_BOUNDS_MS } from '#src/relay/histogram.js'

function histogramOf(boundsMs: readonly number[], times: readonly number[]): ReturnType<Histogram['copy']> {
  const histogram = new Histogram(boundsMs)
  for (const ms of times) histogram.record(ms)
  return histogram.copy()
}

test('a time on a bound is within its bucket, one above the last bound in the bucket behind it', () => {
  const { counts, count, sumMs } = histogramOf([1, 10], [0, 1, 1.001, 10, 10.001, 1e9])
  assert.deepEqual(counts, [2, 2, 2])
  assert.equal(count, 6)
  assert.equal(sumMs, 0 + 1 + 1.001 + 10 + 10.001 + 1e9)
})

test('a copy does not change any more', () => {
  const histogram = new Histogram([1])
  const { counts } = histogram.copy()
  histogram.record(1)
  assert.deepEqual(counts, [0, 0])
})

test('bounds rise', () => {
  for (const bounds of [STAGE_BOUNDS_MS, AGE_BOUNDS_MS]) {
    assert.deepEqual(
      bounds,
      bounds.toSorted((one, other) => one - other),
    )
  }
})

test('a quantile is in the bucket of the exact one', () => {
  const time = fc.double({ min: 0, max: 60_000, noNaN: true })
  const quantile = fc.double({ min: 0.01, max: 1, noNaN: true })
  fc.assert(
    fc.property(fc.array(time, { minLength: 1 }), quantile, (times, share) => {
      const exact = times.toSorted((one, other) => one - other)[Math.ceil(share * times.length) - 1] as number
      const estimate = estimateQuantileMs(histogramOf(STAGE_BOUNDS_MS, times), share) as number
      const upper = STAGE_BOUNDS_MS.find((bound) => exact <= bound) as number
      const lower = STAGE_BOUNDS_MS.findLast((bound) => bound < upper) ?? 0
      assert.ok(estimate >= lower && estimate <= upper * 1.000_001, `${estimate} for ${exact}`)
    }),
  )
})

test('without a measurement there is no quantile, and above the last bound it is that bound', () => {
  assert.equal(estimateQuantileMs(histogramOf([1, 10], []), 0.5), undefined)
  assert.equal(estimateQuantileMs(histogramOf([1, 10], [11, 12]), 0.5), 10)
})
