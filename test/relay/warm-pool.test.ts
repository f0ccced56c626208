// When the pool dials. What it does with real WebSockets is in warm.test.ts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { DEFAULT_RELAY_LIMITS } from '#src/relay/limits.js'
import { WarmPool } from '#src/relay/warm-pool.js'
import type { GatewayHandler, GatewaySocket } from '#src/runtime/runtime.js'

/** The end of a tunnel that takes what is warm. */
const TAKER: GatewayHandler = {
  gatewayOnOpen() {},
  gatewayOnData() {},
  gatewayOnPong() {},
  gatewayOnDrain() {},
  gatewayOnFailure() {},
  gatewayOnClose() {},
}

const SOCKET: GatewaySocket = {
  queuedBytes: 0,
  send: () => true,
  handTo() {},
  ping() {},
  pong() {},
  pauseReading() {},
  resumeReading() {},
  close() {},
  terminate() {},
}

/** A pool, and what it has dialled. */
function createPool(): { pool: WarmPool; dialled: GatewayHandler[] } {
  const dialled: GatewayHandler[] = []
  const dial = (handler: GatewayHandler): GatewaySocket => {
    dialled.push(handler)
    return SOCKET
  }
  const pool = new WarmPool({ dial, limits: DEFAULT_RELAY_LIMITS, now: () => 0, tokenGeneration: () => 1 })
  pool.sweep(0)
  return { pool, dialled }
}

test('what takes the place of a warm one is dialled in a later turn of the event loop', async () => {
  const { pool, dialled } = createPool()
  dialled[0]?.gatewayOnOpen()
  assert.equal(pool.take(TAKER), SOCKET)
  assert.equal(dialled.length, 1)
  await turn()
  assert.equal(dialled.length, 2)
})

test('warm ones wait for the CONNECTs that dial, and then come one a turn', async () => {
  const { pool, dialled } = createPool()
  dialled[0]?.gatewayOnOpen()
  assert.equal(pool.take(TAKER), SOCKET)
  for (let missed = 0; missed < 3; missed++) assert.equal(pool.take(TAKER), undefined)
  for (let settled = 0; settled < 3; settled++) {
    await turn()
    assert.equal(dialled.length, 1)
    pool.onDialled()
  }
  for (let count = 2; count <= 5; count++) {
    await turn()
    assert.equal(dialled.length, count)
  }
  await turn()
  assert.equal(dialled.length, 5)
})

test('the sweep does not wait', () => {
  const { pool, dialled } = createPool()
  dialled[0]?.gatewayOnOpen()
  pool.take(TAKER)
  for (let missed = 0; missed < 3; missed++) assert.equal(pool.take(TAKER), undefined)
  pool.sweep(1_000)
  assert.equal(dialled.length, 5)
})
