// When the pool dials. What it does with real WebSockets is in warm.test.ts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { DEFAULT_RELAY_LIMITS, type RelayLimits } from '#src/relay/limits.js'
import { WarmPool } from '#src/relay/warm-pool.js'
import type { GatewayHandler, GatewaySocket } from '#src/runtime/runtime.js'
import { FakeGatewaySocket } from './fake-gateway-socket.js'

/** The end of a tunnel that takes what is warm. */
const TAKER: GatewayHandler = {
  gatewayOnOpen() {},
  gatewayOnData() {},
  gatewayOnPong() {},
  gatewayOnDrain() {},
  gatewayOnFailure() {},
  gatewayOnClose() {},
}

/** A pool at a time of the test's own, with what it has dialled. */
class PoolBench {
  readonly pool: WarmPool
  readonly dialled: FakeGatewaySocket[] = []
  /** Milliseconds; also of each sweep. */
  time = 0
  tokenGeneration = (): number => 1
  /** What takes the place of a dial. */
  failure: Error | undefined

  constructor(limits: Partial<RelayLimits> = {}) {
    this.pool = new WarmPool({
      dial: (handler) => this.#dial(handler),
      limits: { ...DEFAULT_RELAY_LIMITS, ...limits },
      now: () => this.time,
      tokenGeneration: () => this.tokenGeneration(),
    })
    this.pool.sweep(0)
  }

  #dial(handler: GatewayHandler): GatewaySocket {
    if (this.failure !== undefined) throw this.failure
    const socket = new FakeGatewaySocket(handler)
    this.dialled.push(socket)
    return socket
  }

  get ready(): number {
    return this.pool.statistics().ready
  }

  /** The dial with that number. */
  dial(index: number): FakeGatewaySocket {
    const socket = this.dialled.at(index)
    assert.ok(socket !== undefined, `there is no dial ${index} of ${this.dialled.length}`)
    return socket
  }

  open(index = -1): void {
    this.dial(index).handler.gatewayOnOpen()
  }

  sweepAt(time: number): void {
    this.time = time
    this.pool.sweep(time)
  }
}

test('what takes the place of a warm one is dialled in a later turn of the event loop', async () => {
  const bench = new PoolBench()
  bench.open()
  assert.deepEqual(bench.pool.take(TAKER), { socket: bench.dial(0), isOpen: true })
  assert.equal(bench.dialled.length, 1)
  await turn()
  assert.equal(bench.dialled.length, 2)
})

test('warm ones wait for the CONNECTs that dial, and then come one a turn', async () => {
  const bench = new PoolBench()
  const { pool, dialled } = bench
  bench.open()
  assert.equal(pool.take(TAKER)?.isOpen, true)
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
  const bench = new PoolBench()
  bench.open()
  bench.pool.take(TAKER)
  for (let missed = 0; missed < 3; missed++) assert.equal(bench.pool.take(TAKER), undefined)
  bench.sweepAt(1_000)
  assert.equal(bench.dialled.length, 5)
})

test('a CONNECT that finds none open takes the one that is being dialled, unless that takes long', () => {
  const bench = new PoolBench()
  const { pool } = bench
  assert.deepEqual(pool.take(TAKER), { socket: bench.dial(0), isOpen: false })
  assert.equal(pool.take(TAKER), undefined)
  pool.onDialled()
  pool.onDialled()
  pool.sweep(0)
  bench.time = 1_000
  assert.equal(pool.take(TAKER), undefined)
  assert.equal(bench.dialled.length, 4)
  assert.deepEqual([pool.statistics().used, pool.statistics().missed], [0, 3])
})

test('a dial that throws has failed, in a sweep and in a later turn of the event loop', async () => {
  const bench = new PoolBench()
  bench.open()
  bench.failure = new Error('no token')
  assert.equal(bench.pool.take(TAKER)?.isOpen, true)
  await turn()
  assert.equal(bench.pool.statistics().isResting, true)
  bench.sweepAt(1_000)
  assert.equal(bench.pool.statistics().isResting, true)
  bench.failure = undefined
  bench.sweepAt(10_000)
  assert.equal(bench.dialled.length, 2)
})

test('nothing is dialled for a token of which nobody says whether it is another one', () => {
  const bench = new PoolBench()
  bench.open()
  bench.tokenGeneration = () => {
    throw new Error('no generation')
  }
  assert.equal(bench.pool.take(TAKER), undefined)
  bench.sweepAt(1_000)
  assert.equal(bench.dialled.length, 1)
  bench.tokenGeneration = () => 1
  bench.sweepAt(10_000)
  assert.equal(bench.dialled.length, 3)
})
