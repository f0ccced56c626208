// The values of Retry-After that are understood, and those that are not.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRetryAfter } from '#src/protocol/retry-after.js'

const NOW = Date.UTC(2026, 11, 1, 12, 0, 0)

test('seconds are taken as they are, and a date as the time until then', () => {
  for (const [value, expected] of [
    ['0', 0],
    ['1', 1_000],
    ['120', 120_000],
    ['999999999', 999_999_999_000],
    ['Tue, 01 Dec 2026 12:00:07 GMT', 7_000],
    ['Tue, 01 Dec 2026 11:59:00 GMT', 0],
  ] as const) {
    assert.equal(parseRetryAfter(value, NOW), expected, value)
  }
})

test('everything else is not understood', () => {
  for (const value of [
    '',
    '-1',
    '1.5',
    '1e3',
    'soon',
    '1, 2',
    '2026-12-01',
    'Tue, 01 Dec 2026',
    'Tue, 99 Dec 2026 12:00:07 GMT',
    '9999999999',
  ]) {
    assert.equal(parseRetryAfter(value, NOW), undefined, value)
  }
})
