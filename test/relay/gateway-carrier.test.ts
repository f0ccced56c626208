// What a carrier tells its tunnel and the pool, at a time of the test's own. With real WebSockets: warm.long.test.ts, faults.long.test.ts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { UpstreamProxyError } from '#src/errors.js'
import type { Authority } from '#src/protocol/authority.js'
import type { CarrierHandler } from '#src/relay/carrier.js'
import { Credential, tokenFromText } from '#src/relay/credential.js'
import { GatewayCarrier, type GatewayWay } from '#src/relay/gateway-carrier.js'
import { DEFAULT_RELAY_LIMITS } from '#src/relay/limits.js'
import { WarmPool } from '#src/relay/warm-pool.js'
import type { GatewayHandler, GatewaySocket } from '#src/runtime/runtime.js'
import { FakeGatewaySocket } from './fake-gateway-socket.js'
import { testClock } from './test-clock.js'

const AUTHORITY: Authority = { kind: 'name', host: 'h.example', port: 443 }

/** A way to a gateway that is not there, and a tunnel that notes what it is told. */
class CarrierBench {
  readonly way: GatewayWay
  readonly dialled: FakeGatewaySocket[] = []
  readonly told: string[] = []
  time = 0
  /** What takes the place of a dial. */
  failure: Error | undefined

  constructor() {
    const [limits, now, clock] = [DEFAULT_RELAY_LIMITS, () => this.time, testClock(() => this.time)]
    const dial = (handler: GatewayHandler) => this.#dial(handler)
    const warmPool = new WarmPool({ limits, now, clock, dial, tokenGeneration: () => 1 })
    this.way = { limits, clock, dial, warmPool, credential: new Credential(tokenFromText('tok'), 'session') }
  }

  #dial(handler: GatewayHandler): GatewaySocket {
    if (this.failure !== undefined) throw this.failure
    const socket = new FakeGatewaySocket(handler)
    this.dialled.push(socket)
    return socket
  }

  /** The last one that was dialled. */
  get socket(): FakeGatewaySocket {
    const socket = this.dialled.at(-1)
    assert.ok(socket !== undefined)
    return socket
  }

  /** One over a warm WebSocket that has sent its head, lost it, and dials again. */
  async retry(): Promise<GatewayCarrier> {
    this.way.warmPool.sweep()
    this.socket.handler.gatewayOnOpen()
    const carrier = this.open()
    await Promise.resolve()
    carrier.begin([])
    this.socket.handler.gatewayOnClose({ code: 1006 })
    assert.deepEqual([this.told, this.dialled.length], [['connected'], 2])
    return carrier
  }

  open(): GatewayCarrier {
    const tell = (what: string) => () => void this.told.push(what)
    const handler: CarrierHandler = {
      carrierOnConnected: tell('connected'),
      carrierOnAnswer: tell('answer'),
      carrierOnData: tell('data'),
      carrierOnDrain: tell('drain'),
      carrierOnFailure: ({ code }: UpstreamProxyError) => void this.told.push(code),
      carrierOnEnd: tell('end'),
      carrierOnDefect: tell('defect'),
    }
    return new GatewayCarrier(this.way, AUTHORITY, undefined, handler)
  }
}

test('a dial that throws is a failure that is told later, and the pool waits for it no longer', async () => {
  const bench = new CarrierBench()
  bench.failure = new Error('no token')
  bench.open()
  assert.deepEqual(bench.told, [])
  await turn()
  assert.deepEqual(bench.told, ['internal-error'])
  bench.failure = undefined
  bench.open().begin([])
  bench.socket.handler.gatewayOnOpen()
  await turn()
  assert.equal(bench.dialled.length, 1)
  bench.socket.handler.gatewayOnData(Buffer.from('HTTP/1.1 200 OK\r\n\r\n'))
  assert.equal(bench.dialled.length, 1)
  await turn()
  assert.equal(bench.dialled.length, 2)
})

for (const [how, end] of [
  ['is given up', (carrier) => carrier.terminate()],
  ['is closed', (carrier) => carrier.close()],
  ['loses its WebSocket', (_, bench) => bench.socket.handler.gatewayOnClose({ code: 1006 })],
  ['gets no HTTP', (_, bench) => bench.socket.handler.gatewayOnData(Buffer.from('SSH-2.0-x\r\n'))],
] as const satisfies readonly [string, (carrier: GatewayCarrier, bench: CarrierBench) => void][]) {
  test(`the pool waits no longer for one that ${how} before the answer`, async () => {
    const bench = new CarrierBench()
    const carrier = bench.open()
    bench.socket.handler.gatewayOnOpen()
    carrier.begin([])
    await turn()
    assert.equal(bench.dialled.length, 1)
    end(carrier, bench)
    await turn()
    assert.equal(bench.dialled.length, 2)
  })
}

test('a new one in the place of a warm one that was lost has the time that every dial has, and is not pinged before it is there', async () => {
  const bench = new CarrierBench()
  const carrier = await bench.retry()
  bench.time = DEFAULT_RELAY_LIMITS.dialTimeoutMs - 1
  carrier.keepAlive(false)
  assert.deepEqual([bench.told, bench.socket.pings], [['connected'], 0])
  bench.time++
  carrier.keepAlive(false)
  assert.deepEqual([bench.told, bench.socket.pings], [['connected', 'gateway-dial-timeout'], 0])
})

test('a new one that opens in time sends the head, and is pinged from then on', async () => {
  const bench = new CarrierBench()
  const carrier = await bench.retry()
  const { socket } = bench
  bench.time = 10_000
  socket.handler.gatewayOnOpen()
  assert.match(Buffer.from(socket.sent[0] ?? []).toString(), /^CONNECT h\.example:443 /)
  bench.time += DEFAULT_RELAY_LIMITS.pingIntervalMs
  carrier.keepAlive(false)
  assert.deepEqual([bench.told, socket.pings], [['connected'], 1])
})
