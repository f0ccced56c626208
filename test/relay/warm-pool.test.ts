// When the pool dials. What it does with real WebSockets is in warm.long.test.ts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { UpstreamProxyError } from '#src/errors.js'
import { GatewayBackoff } from '#src/relay/gateway-backoff.js'
import { DEFAULT_RELAY_LIMITS, type RelayLimits } from '#src/relay/limits.js'
import { Uplink } from '#src/relay/uplink.js'
import { WarmPool } from '#src/relay/warm-pool.js'
import type { GatewayHandler, GatewaySocket } from '#src/runtime/runtime.js'
import { FakeGatewaySocket } from './fake-gateway-socket.js'
import { testClock } from './test-clock.js'

/** The end of a tunnel that takes what is warm. */
const TAKER: GatewayHandler = {
  gatewayOnOpen() {},
  gatewayOnData() {},
  gatewayOnEnd() {},
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
      uplink: new Uplink(
        DEFAULT_RELAY_LIMITS,
        testClock(() => this.time),
      ),
      backoff: new GatewayBackoff(() => this.time),
      now: () => this.time,
      clock: testClock(() => this.time),
      tokenGeneration: () => this.tokenGeneration(),
    })
    this.pool.sweep()
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

  /** The dial with that number has failed. */
  fail(index = -1): void {
    this.dial(index).handler.gatewayOnFailure(new UpstreamProxyError('gateway-unreachable', 'it is down'))
  }

  /** The gateway has ended that one. */
  end(index = -1): void {
    this.dial(index).handler.gatewayOnClose({ code: 1001 })
  }

  /** All that are there have answered. */
  pong(): void {
    for (const { handler } of this.dialled) handler.gatewayOnPong()
  }

  /** Wants `count`, and has them open. */
  grow(count: number): void {
    this.open()
    this.pool.take(TAKER)
    for (let missed = 1; missed < count; missed++) {
      this.pool.take(TAKER)
      this.pool.onAnswered()
    }
    this.pool.sweep()
    for (const socket of this.dialled.slice(-count)) socket.handler.gatewayOnOpen()
    assert.equal(this.ready, count)
  }

  /** Milliseconds of sweeps, one a second, until there is another dial. */
  msUntilDial(limitMs = 1_000_000): number {
    const [since, count] = [this.time, this.dialled.length]
    while (this.dialled.length === count && this.time - since < limitMs) this.sweepAt(this.time + 1_000)
    return this.time - since
  }

  sweepAt(time: number): void {
    this.time = time
    this.pool.sweep()
  }
}

const { pingIntervalMs, pongTimeoutMs } = DEFAULT_RELAY_LIMITS

test('one more is wanted after each CONNECT that finds none, up to the limit', () => {
  for (const maxWarmTunnels of [1, 4, 8]) {
    const bench = new PoolBench({ maxWarmTunnels })
    bench.open()
    bench.pool.take(TAKER)
    for (let missed = 0; missed < 20; missed++) {
      assert.equal(bench.pool.take(TAKER), undefined)
      bench.pool.onAnswered()
    }
    bench.pool.sweep()
    assert.equal(bench.dialled.length - 1, maxWarmTunnels)
  }
})

test('one less is wanted after each 30 s in which none was missing, down to one', () => {
  const bench = new PoolBench()
  bench.grow(3)
  const [, first, second] = bench.dialled
  for (const [seconds, ready] of [
    [29.999, 3],
    [30, 2],
    [59.999, 2],
    [60, 1],
    [90, 1],
    [120, 1],
  ] as const) {
    bench.sweepAt(seconds * 1_000)
    bench.pong()
    assert.equal(bench.ready, ready, `after ${seconds} s`)
  }
  assert.deepEqual([first?.isLetGo, second?.isLetGo, bench.dialled.length], [true, true, 4])
})

test('what was opened or dialled with an old token is not handed out', () => {
  const open = new PoolBench()
  open.open()
  open.tokenGeneration = () => 2
  assert.equal(open.pool.take(TAKER), undefined)
  assert.equal(open.dial(0).isLetGo, true)
  const dialled = new PoolBench()
  dialled.tokenGeneration = () => 2
  assert.equal(dialled.pool.take(TAKER), undefined)
})

test('what was heard for longer ago than a ping and its answer take is not handed out', () => {
  const mostMs = pingIntervalMs + pongTimeoutMs
  for (const heardAt of [0, 1_000]) {
    for (const [restedMs, isHandedOut] of [
      [mostMs - 1, true],
      [mostMs, true],
      [mostMs + 1, false],
    ] as const) {
      const bench = new PoolBench()
      bench.open()
      bench.time = heardAt
      bench.pong()
      bench.time += restedMs
      const expected = isHandedOut
        ? { socket: bench.dial(0), isOpen: true, isQuiet: true, at: bench.time, generation: 1 }
        : undefined
      assert.deepEqual(bench.pool.take(TAKER), expected)
      assert.equal(bench.dial(0).isLetGo, !isHandedOut)
    }
  }
})

test('what rests is pinged, and dropped as lost when it answers two pings in a row with nothing', () => {
  const bench = new PoolBench()
  bench.open()
  const at = bench.dial(0)
  const pings: number[] = []
  for (const time of [pingIntervalMs - 1, pingIntervalMs, 2 * pingIntervalMs - 1, 2 * pingIntervalMs]) {
    bench.sweepAt(time)
    pings.push(at.pings)
  }
  assert.deepEqual(pings, [0, 1, 1, 2])
  bench.sweepAt(2 * pingIntervalMs + pongTimeoutMs - 1)
  assert.deepEqual([at.isLetGo, bench.dialled.length], [false, 1])
  bench.sweepAt(2 * pingIntervalMs + pongTimeoutMs)
  assert.deepEqual([at.isLetGo, bench.dialled.length, bench.pool.statistics().lost], [true, 2, 1])
})

test('what answers its pings is kept', () => {
  const bench = new PoolBench()
  bench.open()
  for (let time = pingIntervalMs; time <= 10 * pingIntervalMs; time += pingIntervalMs) {
    bench.sweepAt(time)
    bench.pong()
  }
  assert.deepEqual([bench.dial(0).isLetGo, bench.dial(0).pings, bench.dialled.length], [false, 10, 1])
})

test('what takes the place of a warm one is dialled in a later turn of the event loop', async () => {
  const bench = new PoolBench()
  bench.open()
  assert.deepEqual(bench.pool.take(TAKER), {
    socket: bench.dial(0),
    isOpen: true,
    isQuiet: false,
    at: bench.time,
    generation: 1,
  })
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
    pool.onAnswered()
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
  assert.deepEqual(pool.take(TAKER), {
    socket: bench.dial(0),
    isOpen: false,
    isQuiet: false,
    at: bench.time,
    generation: 1,
  })
  assert.equal(pool.take(TAKER), undefined)
  pool.onAnswered()
  pool.onAnswered()
  pool.sweep()
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

test('a gateway that cannot be reached is dialled after 1, 2, 4 seconds, at last every ten minutes; from the start once it can', () => {
  const bench = new PoolBench()
  const rests: number[] = []
  for (let failed = 0; failed < 12; failed++) {
    bench.fail()
    rests.push(bench.msUntilDial() / 1_000)
  }
  assert.deepEqual(rests, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600])
  bench.open()
  bench.pool.take(TAKER)
  bench.pool.sweep()
  bench.fail()
  assert.equal(bench.msUntilDial(), 1_000)
})

test('dials that fail of one cause have failed once, however late', () => {
  const bench = new PoolBench()
  bench.grow(8)
  for (let index = 0; index < 8; index++) bench.end(-1 - index)
  bench.sweepAt(1_000)
  assert.equal(bench.dialled.length, 17)
  for (let index = 0; index < 7; index++) bench.fail(-1 - index)
  assert.equal(bench.msUntilDial(), 1_000)
  bench.fail(9)
  for (let index = 0; index < 7; index++) bench.fail(-1 - index)
  assert.equal(bench.msUntilDial(), 2_000)
})

test('dials of which nothing is heard are dropped after dialTimeoutMs, and have failed', () => {
  const bench = new PoolBench()
  bench.msUntilDial()
  assert.equal(bench.time, DEFAULT_RELAY_LIMITS.dialTimeoutMs + 1_000)
  assert.equal(bench.dial(0).isLetGo, true)
  bench.msUntilDial()
  assert.equal(bench.time, 2 * DEFAULT_RELAY_LIMITS.dialTimeoutMs + 1_000 + 2_000)
})

test('a gateway that ends each at once is left alone after three, however often is swept', () => {
  for (const every of [20, 500, 1_000, 1_001]) {
    const bench = new PoolBench()
    let ends = 0
    for (let time = every; time <= 10_000; time += every) {
      if (ends < bench.dialled.length) {
        bench.open(ends)
        bench.end(ends++)
      }
      bench.sweepAt(time)
    }
    assert.equal(bench.pool.statistics().isResting, true, `every ${every} ms`)
    assert.equal(bench.msUntilDial() > 500_000, true)
    // It has another three.
    bench.open()
    bench.end()
    assert.equal(bench.pool.statistics().isResting, false)
  }
})

test('a sweep drops what was opened or dialled with an old token, and dials with the new one', () => {
  const bench = new PoolBench()
  bench.grow(3)
  bench.end()
  bench.pool.sweep()
  const old = bench.dialled.slice(1)
  bench.tokenGeneration = () => 2
  bench.pool.sweep()
  assert.deepEqual(
    old.map(({ isLetGo }) => isLetGo),
    [true, true, false, true],
  )
  assert.equal(bench.dialled.length, old.length + 1 + 3)
  bench.open()
  assert.equal(bench.pool.take(TAKER)?.socket, bench.dial(-1))
  assert.equal(bench.pool.statistics().isResting, false)
})

test('ends within a second of one that counts are one end; the third that counts is the last', () => {
  const bench = new PoolBench()
  bench.grow(8)
  for (const [index, [time, isResting]] of (
    [
      [0, false],
      [1_000, false],
      [1_001, false],
      [2_001, false],
      [2_002, true],
    ] as const
  ).entries()) {
    bench.time = time
    bench.end(1 + index)
    assert.equal(bench.pool.statistics().isResting, isResting, `after the end at ${time} ms`)
  }
  assert.deepEqual(
    bench.dialled.slice(6).map(({ isLetGo }) => isLetGo),
    [true, true, true],
  )
  assert.equal(bench.pool.statistics().lost, 5)
})

test('a use sets the count of unused ends back', () => {
  const bench = new PoolBench()
  bench.grow(8)
  const endNext = (index: number): boolean => {
    bench.time += 2_000
    bench.end(index)
    return bench.pool.statistics().isResting
  }
  assert.deepEqual([endNext(8), endNext(7)], [false, false])
  assert.equal(bench.pool.take(TAKER)?.isOpen, true)
  assert.deepEqual([endNext(6), endNext(5), endNext(4)], [false, false, true])
})

test('where one that was handed out is silent, those that were not heard since go too, and others are dialled', async () => {
  const bench = new PoolBench()
  bench.grow(4)
  bench.time += DEFAULT_RELAY_LIMITS.warmSilenceMs + 1
  const handover = bench.pool.take(TAKER)
  assert.equal(handover?.isQuiet, true)
  bench.time++
  bench.dial(-1).handler.gatewayOnPong()
  const dials = bench.dialled.length
  bench.pool.onSilence(handover?.at ?? 0)
  assert.deepEqual([bench.ready, bench.dial(dials - 1).isLetGo, bench.pool.statistics().lost], [1, false, 2])
  for (let count = 0; count < 4; count++) await turn()
  assert.equal(bench.dialled.length, dials + 3)
  assert.equal(bench.pool.take(TAKER)?.isQuiet, false)
})
