// What a carrier tells its tunnel and the pool, at a time of the test's own. With real WebSockets: warm.long.test.ts, faults.long.test.ts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { UpstreamProxyError } from '#src/errors.js'
import type { Authority } from '#src/protocol/authority.js'
import type { CarrierHandler } from '#src/relay/carrier.js'
import { Credential, type TokenSource } from '#src/relay/credential.js'
import { GatewayBackoff } from '#src/relay/gateway-backoff.js'
import { GatewayCarrier, type GatewayWay } from '#src/relay/gateway-carrier.js'
import { DEFAULT_RELAY_LIMITS } from '#src/relay/limits.js'
import { Uplink } from '#src/relay/uplink.js'
import { WarmPool } from '#src/relay/warm-pool.js'
import type { GatewayHandler, GatewaySocket } from '#src/runtime/runtime.js'
import { FakeGatewaySocket } from './fake-gateway-socket.js'
import { testClock } from './test-clock.js'

const { dialTimeoutMs, warmSilenceMs } = DEFAULT_RELAY_LIMITS
const AUTHORITY: Authority = { kind: 'name', host: 'h.example', port: 443 }

/** A way to a gateway that is not there, and a tunnel that notes what it is told. */
class CarrierBench {
  readonly way: GatewayWay
  readonly dialled: FakeGatewaySocket[] = []
  readonly told: string[] = []
  time = 0
  token = 'tok'
  /** What takes the place of a dial. */
  failure: Error | undefined

  constructor() {
    const [limits, now, clock] = [DEFAULT_RELAY_LIMITS, () => this.time, testClock(() => this.time)]
    const dial = (handler: GatewayHandler) => this.#dial(handler)
    const source: TokenSource = {
      withToken: (use) => use(Buffer.from(this.token)),
      generation: () => this.token.length,
    }
    const credential = new Credential(source, 'session')
    const backoff = new GatewayBackoff(now)
    const uplink = new Uplink(limits, clock)
    const warmPool = new WarmPool({
      limits,
      now,
      clock,
      dial,
      backoff,
      uplink,
      tokenGeneration: () => credential.generation(),
    })
    this.way = { limits, clock, dial, backoff, uplink, warmPool, credential }
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

  /** One over a warm WebSocket that was silent before, and is since. */
  async doubt(): Promise<GatewayCarrier> {
    this.way.warmPool.sweep()
    this.socket.handler.gatewayOnOpen()
    this.time += warmSilenceMs + 1
    const carrier = this.open()
    await Promise.resolve()
    carrier.begin([])
    return carrier
  }

  /** The same, until another one is dialled beside it. */
  async replace(): Promise<{ carrier: GatewayCarrier; silent: FakeGatewaySocket; second: FakeGatewaySocket }> {
    const carrier = await this.doubt()
    const silent = this.socket
    this.time += warmSilenceMs
    carrier.keepAlive(false)
    assert.equal(this.dialled.length, 2)
    return { carrier, silent, second: this.socket }
  }

  open(): GatewayCarrier {
    const tell = (what: string) => () => void this.told.push(what)
    const handler: CarrierHandler = {
      carrierOnConnected: tell('connected'),
      carrierOnAnswer: tell('answer'),
      carrierOnData: tell('data'),
      carrierOnDrain: tell('drain'),
      carrierOnFailure: ({ code }: UpstreamProxyError) => void this.told.push(code),
      carrierOnRemoteEnd: tell('remote-end'),
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

const OPENING = Buffer.from('HTTP/1.1 200 OK\r\n\r\n')

/** What was sent over it: heads of CONNECT, and what else. */
function sentOver({ sent }: FakeGatewaySocket): string[] {
  return sent.map((bytes) => (/^CONNECT /.test(Buffer.from(bytes).toString()) ? 'head' : 'bytes'))
}

test('a warm one that was heard a moment ago is believed; one that was not is pinged with the head, and doubted', async () => {
  const bench = new CarrierBench()
  bench.way.warmPool.sweep()
  bench.socket.handler.gatewayOnOpen()
  bench.time = warmSilenceMs
  const carrier = bench.open()
  assert.deepEqual([carrier.isWarm, carrier.isDoubtful], [true, false])
  carrier.begin([])
  assert.equal(bench.socket.pings, 0)

  const other = new CarrierBench()
  const doubted = await other.doubt()
  assert.deepEqual([doubted.isWarm, doubted.isDoubtful], [true, true])
  assert.deepEqual([other.socket.pings, sentOver(other.socket)], [1, ['head']])
})

for (const [what, hear] of [
  ['a pong', (socket: FakeGatewaySocket) => socket.handler.gatewayOnPong()],
  ['the answer', (socket: FakeGatewaySocket) => socket.handler.gatewayOnData(OPENING)],
] as const) {
  test(`${what} within the time is enough, and no other is dialled`, async () => {
    const bench = new CarrierBench()
    const carrier = await bench.doubt()
    hear(bench.socket)
    assert.equal(carrier.isDoubtful, false)
    bench.time += warmSilenceMs
    carrier.keepAlive(false)
    assert.equal(bench.dialled.length, 1)
  })

  test(`${what} of the silent one drops the other that is being dialled`, async () => {
    const bench = new CarrierBench()
    const { silent, second } = await bench.replace()
    hear(silent)
    assert.deepEqual([silent.isLetGo, second.isLetGo], [false, true])
    second.handler.gatewayOnOpen()
    assert.deepEqual(sentOver(second), [])
  })
}

test('another one that opens first takes the head, and the silent one is dropped', async () => {
  const bench = new CarrierBench()
  const { carrier, silent, second } = await bench.replace()
  assert.deepEqual([silent.isLetGo, sentOver(second)], [false, []])
  second.handler.gatewayOnOpen()
  assert.deepEqual([silent.isLetGo, sentOver(second), carrier.isWarm], [true, ['head'], false])
  second.handler.gatewayOnData(OPENING)
  carrier.send(Buffer.from('hello'))
  assert.deepEqual(
    [sentOver(silent), sentOver(second), bench.told],
    [['head'], ['head', 'bytes'], ['connected', 'answer']],
  )
})

test('another one that fails leaves the silent one its time, and is the reason when that ends', async () => {
  const bench = new CarrierBench()
  const { carrier, silent, second } = await bench.replace()
  const refused = new UpstreamProxyError('gateway-overloaded', 'it is full')
  second.handler.gatewayOnFailure(refused)
  assert.deepEqual(bench.told, ['connected'])
  bench.time += dialTimeoutMs
  carrier.keepAlive(false)
  assert.deepEqual(bench.told, ['connected', 'gateway-overloaded'])

  const late = new CarrierBench()
  const both = await late.replace()
  both.second.handler.gatewayOnFailure(refused)
  both.silent.handler.gatewayOnData(OPENING)
  assert.deepEqual(late.told, ['connected', 'answer'])
  assert.equal(silent.isLetGo, false)
})

test('a silent one that is lost leaves the tunnel to the other', async () => {
  const bench = new CarrierBench()
  const { silent, second } = await bench.replace()
  silent.handler.gatewayOnClose({ code: 1006 })
  assert.deepEqual([bench.told, bench.dialled.length], [['connected'], 2])
  second.handler.gatewayOnOpen()
  assert.deepEqual(sentOver(second), ['head'])
  second.handler.gatewayOnClose({ code: 1006 })
  assert.deepEqual(bench.told, ['connected', 'gateway-closed'])
})

test('a tunnel that ends drops both', async () => {
  const bench = new CarrierBench()
  const { carrier, silent, second } = await bench.replace()
  carrier.terminate()
  assert.deepEqual([silent.isLetGo, second.isLetGo], [true, true])
})

for (const isDialledAhead of [false, true]) {
  const what = isDialledAhead ? 'one that was dialled ahead' : 'one of its own'
  test(`${what} that opens after the token has changed is given up for a new one`, async () => {
    const bench = new CarrierBench()
    if (isDialledAhead) bench.way.warmPool.sweep()
    const carrier = bench.open()
    const { socket: old } = bench
    bench.token = 'another'
    old.handler.gatewayOnOpen()
    assert.deepEqual([old.isLetGo, old.sent, bench.told, bench.dialled.length], [true, [], [], 2])
    bench.socket.handler.gatewayOnOpen()
    carrier.begin([Buffer.from('early')])
    const [head = new Uint8Array()] = bench.socket.sent
    const credential = Buffer.from('session:another').toString('base64')
    assert.match(Buffer.from(head).toString(), new RegExp(`Basic ${credential}\r\n\r\nearly$`))
    assert.deepEqual(bench.told, ['connected'])
  })
}

test('another one that opens after the token has changed is given up for a third', async () => {
  const bench = new CarrierBench()
  const { silent, second } = await bench.replace()
  bench.token = 'another'
  second.handler.gatewayOnOpen()
  assert.deepEqual([silent.isLetGo, second.isLetGo, sentOver(second), bench.dialled.length], [false, true, [], 3])
  bench.socket.handler.gatewayOnOpen()
  assert.deepEqual([silent.isLetGo, sentOver(bench.socket)], [true, ['head']])
})
