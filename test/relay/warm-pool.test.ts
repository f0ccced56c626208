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

const OPEN = { socket: SOCKET, isOpen: true }
const BEING_DIALLED = { socket: SOCKET, isOpen: false }

/** A pool at a time of the test's own, and what it has dialled. */
function createPool(now = () => 0): { pool: WarmPool; dialled: GatewayHandler[] } {
  const dialled: GatewayHandler[] = []
  const dial = (handler: GatewayHandler): GatewaySocket => {
    dialled.push(handler)
    return SOCKET
  }
  const pool = new WarmPool({ dial, limits: DEFAULT_RELAY_LIMITS, now, tokenGeneration: () => 1 })
  pool.sweep(0)
  return { pool, dialled }
}

test('what takes the place of a warm one is dialled in a later turn of the event loop', async () => {
  const { pool, dialled } = createPool()
  dialled[0]?.gatewayOnOpen()
  assert.deepEqual(pool.take(TAKER), OPEN)
  assert.equal(dialled.length, 1)
  await turn()
  assert.equal(dialled.length, 2)
})

test('warm ones wait for the CONNECTs that dial, and then come one a turn', async () => {
  const { pool, dialled } = createPool()
  dialled[0]?.gatewayOnOpen()
  assert.deepEqual(pool.take(TAKER), OPEN)
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

test('a CONNECT that finds none open takes the one that is being dialled, unless that takes long', () => {
  let time = 0
  const { pool, dialled } = createPool(() => time)
  assert.deepEqual(pool.take(TAKER), BEING_DIALLED)
  assert.equal(pool.take(TAKER), undefined)
  pool.onDialled()
  pool.onDialled()
  pool.sweep(time)
  time = 1_000
  assert.equal(pool.take(TAKER), undefined)
  assert.equal(dialled.length, 4)
  assert.deepEqual([pool.statistics().used, pool.statistics().missed], [0, 3])
})
