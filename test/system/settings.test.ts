// What the environment says, as settings. What is not understood and keeps a proxy off: init/enabled.long.test.ts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { resolveSettings } from '#src/system/settings.js'

const pingIntervalOf = (CCR_UPSTREAM_PROXY_PING_SECONDS: string | undefined) =>
  resolveSettings({}, CCR_UPSTREAM_PROXY_PING_SECONDS === undefined ? {} : { CCR_UPSTREAM_PROXY_PING_SECONDS })
    .pingIntervalMs

test('CCR_UPSTREAM_PROXY_PING_SECONDS is a whole number from 1 to 3,600, or not there', () => {
  for (const [given, expected] of [
    [undefined, undefined],
    ['', undefined],
    ['1', 1_000],
    [' 3 ', 3_000],
    ['3600', 3_600_000],
  ] as const) {
    assert.equal(pingIntervalOf(given), expected, given)
  }
  for (const given of ['0', '3601', '-1', '1.5', '1e3', '5s', '00003', '0x5']) {
    assert.throws(
      () => pingIntervalOf(given),
      { code: 'config-invalid', message: /CCR_UPSTREAM_PROXY_PING_SECONDS/ },
      given,
    )
  }
})
