// For how long the gateway is left alone.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UpstreamProxyError } from '#src/errors.js'
import { GatewayBackoff } from '#src/relay/gateway-backoff.js'

class BackoffBench {
  time = 1_000
  readonly backoff = new GatewayBackoff(() => this.time)
}

const overloaded = (retryAfterMs: number | undefined) =>
  new UpstreamProxyError('gateway-overloaded', 'it is full', { side: 'remote', retryAfterMs })

test('it is dialled at once where it does not say', () => {
  const { backoff } = new BackoffBench()
  backoff.assertOver()
  backoff.onFailure(overloaded(undefined))
  backoff.assertOver()
})

test('it is left alone for the time that it says, and a refusal says what is left of it', () => {
  const bench = new BackoffBench()
  bench.backoff.onFailure(overloaded(5_000))
  bench.time += 1_500
  assert.throws(() => bench.backoff.assertOver(), { code: 'gateway-overloaded', retryAfterMs: 3_500, side: 'remote' })
  // The refusal itself, and others that come late, do not prolong it.
  bench.backoff.onFailure(overloaded(5_000))
  bench.time += 3_499
  assert.throws(() => bench.backoff.assertOver(), { retryAfterMs: 1 })
  bench.time++
  bench.backoff.assertOver()
})

test('it is asked again after a minute, whatever it said', () => {
  const bench = new BackoffBench()
  bench.backoff.onFailure(overloaded(86_400_000))
  bench.time += 59_999
  assert.throws(() => bench.backoff.assertOver())
  bench.time++
  bench.backoff.assertOver()
})
