// Every limit with a short value: what happens at it, and that nothing happens before it. Then what close() does.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, afterEach, test } from 'node:test'
import { createLogger, type ERROR_CODES, type RelayOptions, startRelay } from '#src/index.js'
import { CLIENT_HELLO, connectHead, connectHeadOfLength } from '../support/connect-vectors.js'
import { deterministicBytes } from '../support/deterministic-bytes.js'
import { freePort } from '../support/listening.js'
import type { RawAnswer } from '../support/raw-client.js'
import { assertRefusal } from '../support/refusal.js'
import { startRelayProcess } from '../support/relay-process.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { type RelayFixture, relayOptions, startFixture } from './fixture.js'

const MIB = 1024 * 1024

/** A gateway that answers nothing is found after 2 s; one on a busy machine answers in less. The last makes sweeps frequent. */
const SHORT_PINGS = { pingIntervalMs: 250, pongTimeoutMs: 1_500, egressTimeoutMs: 100 }

/** The refusal says how long the limit was. */
function assertTimeout(answer: RawAnswer, status: number, code: keyof typeof ERROR_CODES, limitMs: number): void {
  assertRefusal(answer, status, code)
  assert.match(answer.statusLine, new RegExp(`within ${limitMs} ms$`))
}

/** Milliseconds since `start`. */
function since(start: number): number {
  return performance.now() - start
}

describeOnEachRuntime('limits', (runtime) => {
  let fixture: RelayFixture | undefined

  /** A relay with its own limits; it ends with the test. */
  async function startWith(limits: RelayOptions['limits'], more: Partial<RelayOptions> = {}): Promise<RelayFixture> {
    fixture = await startFixture(runtime, { limits: limits ?? {}, ...more })
    return fixture
  }
  afterEach(async () => {
    const ended = fixture
    fixture = undefined
    await ended?.end()
  })

  test('headTimeoutMs: 408 for a silent client, and for one that sends a byte now and then', async () => {
    const relayed = await startWith({ headTimeoutMs: 300 })
    const start = performance.now()
    const [silent, dribbling] = await Promise.all([relayed.connect(), relayed.connect()])
    const head = connectHead('h.example:443')
    let at = 0
    const dribble = setInterval(() => dribbling.write(head[at++ % 20] as string), 50).unref()
    const answers = [silent.takeOnlyAnswer(), dribbling.takeOnlyAnswer()]
    for (const answer of answers) assertTimeout(await answer, 408, 'head-timeout', 300)
    clearInterval(dribble)
    assert.ok(since(start) >= 300, `${since(start)} ms`)
  })

  test('maxHeadBytes and maxHeaders: 431', async () => {
    const relayed = await startWith({ maxHeadBytes: 200, maxHeaders: 2 })
    for (const head of [connectHeadOfLength(201), connectHead('h.example:443', 'a: 1', 'b: 2')]) {
      const client = await relayed.connect()
      client.write(head)
      assertRefusal(await client.takeOnlyAnswer(), 431, 'head-too-large')
    }
    const client = await relayed.connect()
    client.write(connectHeadOfLength(200))
    assert.equal((await relayed.gateway.nextTunnel()).target, 'h.example:443')
  })

  test('maxTunnels: 503 for one more, until one has ended', async () => {
    const relayed = await startWith({ maxTunnels: 2 })
    const first = await relayed.open()
    await relayed.open()
    const third = await relayed.connect()
    third.write(connectHead('h.example:443'))
    assertRefusal(await third.takeOnlyAnswer(), 503, 'too-many-tunnels')
    first.client.reset()
    await relayed.relay.tunnels(1)
    await relayed.open()
  })

  test('maxSentMessageBytes: no message is larger', async () => {
    const relayed = await startWith({ maxSentMessageBytes: 1_000 })
    const { client, tunnel } = await relayed.open()
    const bytes = Buffer.concat([...deterministicBytes(100_000)])
    client.write(bytes)
    assert.ok((await tunnel.take(bytes.length)).equals(bytes))
    assert.ok(Math.max(...tunnel.messageSizes) <= 1_000)
  })

  for (const [what, silence] of [
    ['TLS', { onConnection: () => true }],
    ['the WebSocket', { onUpgrade: () => {} }],
  ] as const) {
    test(`dialTimeoutMs: 504 while the gateway does not accept ${what}`, async () => {
      const relayed = await startWith({ dialTimeoutMs: 300 })
      Object.assign(relayed.gateway, silence)
      const client = await relayed.connect()
      const start = performance.now()
      client.write(connectHead('h.example:443'))
      assertTimeout(await client.takeOnlyAnswer(), 504, 'gateway-dial-timeout', 300)
      assert.ok(since(start) >= 300, `${since(start)} ms`)
    })
  }

  test('answerTimeoutMs: 504 while the gateway does not answer, even if it is alive', async () => {
    const relayed = await startWith({ answerTimeoutMs: 300, pingIntervalMs: 100 })
    const { client, tunnel } = await relayed.dial()
    const alive = setInterval(() => tunnel.sendMessage(Buffer.alloc(0)), 50).unref()
    assertTimeout(await client.takeOnlyAnswer(), 504, 'gateway-answer-timeout', 300)
    clearInterval(alive)
    await tunnel.closed
  })

  test('idleTimeoutMs: a reset when nothing moves, and nothing while bytes do', async () => {
    const relayed = await startWith({ idleTimeoutMs: 2_000 })
    relayed.serveEcho()
    const bystander = await relayed.openBystander()
    const start = performance.now()
    const { client } = await relayed.open()
    let hasEnded = false
    client.ended.then(() => {
      hasEnded = true
    })
    while (!hasEnded) await bystander.check()
    assert.equal(await client.ended, 'reset')
    assert.ok(since(start) >= 2_000, `${since(start)} ms`)
    await bystander.check()
    const { tunnels } = await relayed.relay.stats()
    assert.deepEqual(tunnels.broken, { 'tunnel-expired': 1 })
  })

  test('stallTimeoutMs: a gateway that takes nothing of a waiting upload for so long is given up, not sooner', async () => {
    const relayed = await startWith({ ...SHORT_PINGS, stallTimeoutMs: 4_000 })
    const { client, tunnel } = await relayed.open()
    const start = performance.now()
    tunnel.pause()
    const stalled = client.writeAll(deterministicBytes(64 * MIB))
    assert.equal(await client.ended, 'reset')
    assert.ok(since(start) >= 4_000, `${since(start)} ms`)
    tunnel.resume()
    await stalled
  })

  test('idleTimeoutMs is off unless it is given', async () => {
    // The sweep runs every 25 ms with the second limit, so a second of rest is long.
    const relayed = await startWith({ headTimeoutMs: 1_000, egressTimeoutMs: 100 })
    const { client, tunnel } = await relayed.open()
    const probe = await relayed.connect()
    assertRefusal(await probe.takeOnlyAnswer(), 408, 'head-timeout')
    tunnel.send('still here')
    assert.equal((await client.take(10)).toString(), 'still here')
  })

  test('lingerMs: a half-closed tunnel that rests is reset, and one with bytes coming is not', async () => {
    const relayed = await startWith({ lingerMs: 2_000 })
    const resting = await relayed.open('h.example:1')
    const busy = await relayed.open('h.example:2')
    const trickle = setInterval(() => busy.tunnel.send('b'), 50).unref()
    const start = performance.now()
    resting.client.endWriting()
    busy.client.endWriting()
    assert.equal(await resting.client.ended, 'reset')
    assert.ok(since(start) >= 2_000, `${since(start)} ms`)
    await resting.tunnel.closed
    await busy.client.reached(busy.client.received + 20)
    clearInterval(trickle)
    busy.tunnel.close(1000)
    assert.equal(await busy.client.ended, 'fin')
  })

  test('closeLingerMs: of TLS, a half-closed tunnel that rests has ended in order, whether its client is there or not', async () => {
    const relayed = await startWith({ lingerMs: 600_000, closeLingerMs: 500 })
    const [there, gone] = [await relayed.open('h.example:1'), await relayed.open('h.example:2')]
    for (const { client } of [there, gone]) {
      client.write(CLIENT_HELLO)
      client.endWriting()
    }
    gone.client.socket.destroy()
    for (const { tunnel } of [there, gone]) assert.equal(await tunnel.closed, 1000)
    await relayed.relay.tunnels(0)
    assert.deepEqual((await relayed.relay.stats()).tunnels.broken, {})
  })

  test('lingerMs: a client that has got everything and does not close has ended in order', async () => {
    const relayed = await startWith({ lingerMs: 500 })
    const { client, tunnel } = await relayed.open('h.example:1')
    tunnel.endSending()
    assert.equal(await client.ended, 'fin')
    assert.equal(await tunnel.closed, 1000)
    await relayed.relay.tunnels(0)
    assert.deepEqual((await relayed.relay.stats()).tunnels.broken, {})
  })

  test('maxTunnels: the oldest half-closed tunnel makes room for a new one', async () => {
    const relayed = await startWith({ maxTunnels: 3, lingerMs: 600_000 })
    const [open, older, newer] = [await relayed.open('h:1'), await relayed.open('h:2'), await relayed.open('h:3')]
    for (const { client } of [older, newer]) client.endWriting()
    for (const { tunnel } of [older, newer]) await tunnel.ended
    const { client } = await relayed.open('h:4')
    assert.equal(await older.tunnel.closed, 1000)
    newer.tunnel.send('late')
    assert.equal((await newer.client.take(4)).toString(), 'late')
    for (const each of [open.client, newer.client, client]) each.reset()
  })

  test('lingerMs: a client that does not take the last bytes is reset, and its descriptor let go', async () => {
    // Nothing is held back, so that the relay sees the Close frame behind what the client does not take.
    const relayed = await startWith({ lingerMs: 400, highWaterMarkBytes: 64 * MIB })
    await (await relayed.open('h.example:1')).client.reset()
    await relayed.relay.tunnels(0)
    const descriptors = await relayed.relay.descriptors()
    const { client, tunnel } = await relayed.open('h.example:2')
    client.socket.pause()
    await tunnel.sendAll(deterministicBytes(16 * MIB))
    tunnel.close(1000)
    await relayed.relay.tunnels(0)
    client.socket.resume()
    assert.equal(await client.ended, 'reset')
    await relayed.relay.descriptorsAtMost(descriptors)
  })

  test('closeLingerMs: a gateway that does not end its refusal is ended, with a FIN for the client', async () => {
    const relayed = await startWith({ closeLingerMs: 300 })
    const { client, tunnel } = await relayed.dial()
    tunnel.send('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno')
    assert.equal((await client.rest()).toString().slice(-2), 'no')
    assert.equal(await client.ended, 'fin')
    await tunnel.closed
    // And a client that got everything and does not close.
    await relayed.relay.tunnels(0)
  })

  test('pongTimeoutMs: a gateway that went silent is found after two pings: a reset, or 502 before the answer', async () => {
    const relayed = await startWith(SHORT_PINGS)
    const open = await relayed.open('h.example:1')
    const halfClosed = await relayed.open('h.example:2')
    const waiting = await relayed.dial('h.example:3')
    halfClosed.client.endWriting()
    const start = performance.now()
    for (const { tunnel } of [open, halfClosed, waiting]) tunnel.pause()
    assertRefusal(await waiting.client.takeOnlyAnswer(), 502, 'gateway-closed')
    assert.equal(await open.client.ended, 'reset')
    assert.equal(await halfClosed.client.ended, 'reset')
    assert.ok(since(start) >= SHORT_PINGS.pongTimeoutMs, `${since(start)} ms`)
  })

  test('a client that stalls does not make its gateway look dead: unsolicited pongs go out instead', async () => {
    const relayed = await startWith(SHORT_PINGS)
    const { client, tunnel } = await relayed.open()
    client.socket.pause()
    const sent = tunnel.sendAll(deterministicBytes(32 * MIB))
    for (let pongs = 0; pongs < 10; pongs++) await once(tunnel.socket, 'pong')
    const received = client.digest(32 * MIB)
    client.socket.resume()
    assert.equal((await received).bytes, 32 * MIB)
    await sent
  })

  for (const [options, what] of [
    [{ limits: { headTimeoutMs: 0 } }, 'a limit of 0'],
    [{ limits: { headTimeoutMs: 1.5 } }, 'a limit that is no whole number'],
    [{ limits: { maxSentMessageBytes: 32_769 } }, 'messages above 32,768 bytes'],
    [{ limits: { maxSentMessageBytes: 15 } }, 'messages too small for a chunk'],
    [{ limits: { lowWaterMarkBytes: 2, highWaterMarkBytes: 1 } }, 'a low water mark above the high one'],
    [{ tunnelUrl: 'ws://gateway.example/ws' }, 'ws:// off this machine'],
    [{ tunnelUrl: 'https://gateway.example/ws' }, 'an address that is no WebSocket'],
    [{ tunnelUrl: 'nonsense' }, 'an address that is none'],
    [{ tunnelUrl: 'wss://gateway.example/ws#fragment' }, 'an address with a fragment'],
    [{ sessionId: 'a:b' }, 'a session id with a colon'],
    [{ sessionId: '' }, 'an empty session id'],
  ] as const) {
    test(`startRelay() refuses ${what}: config-invalid`, async () => {
      const gateway = { url: 'wss://127.0.0.1:9/ws', rootPem: '' }
      await assert.rejects(startRelayProcess(runtime, relayOptions(gateway, options)), /^Error: config-invalid$/)
    })
  }
})

test('startRelay() that fails behind listening leaves no listener', async () => {
  const port = await freePort()
  const logger = {
    ...createLogger('silent'),
    debug() {
      throw new Error('the disk is full')
    },
  }
  const options = { tunnelUrl: 'ws://127.0.0.1:1', token: 'tok', thread: 'main', port, logger } as const
  await assert.rejects(startRelay(options), { code: 'internal-error' })
  await assert.rejects(once(connect({ host: '127.0.0.1', port }), 'connect'), { code: 'ECONNREFUSED' })
})

describeOnEachRuntime('close()', (runtime) => {
  const fixtures: RelayFixture[] = []
  async function start(more: Partial<RelayOptions> = {}): Promise<RelayFixture> {
    const fixture = await startFixture(runtime, more)
    fixtures.push(fixture)
    return fixture
  }
  after(async () => {
    for (const fixture of fixtures) await fixture.end()
  })

  /** Connecting must fail from now on. */
  async function assertRefusesConnections(port: number): Promise<void> {
    await assert.rejects(once(connect({ host: '127.0.0.1', port }), 'connect'), { code: 'ECONNREFUSED' })
  }

  test('without a tunnel: the port is free and no descriptor is left', async () => {
    const fixture = await start()
    const left = await fixture.relay.close()
    assert.ok(
      left <= fixture.relay.initialDescriptors,
      `${left} descriptors, ${fixture.relay.initialDescriptors} at the start`,
    )
    await assertRefusesConnections(fixture.relay.port)
  })

  test('after tunnels of every kind of end: no descriptor is left', async () => {
    const fixture = await start()
    for (let round = 0; round < 3; round++) {
      const [reset, finished, broken, refused] = await Promise.all(
        [1, 2, 3, 4].map((port) => fixture.dial(`h:${port}`)),
      )
      assert.ok(reset && finished && broken && refused)
      for (const { tunnel, client } of [reset, finished, broken]) {
        tunnel.open()
        await client.takeOpening()
      }
      reset.client.reset()
      finished.tunnel.close(1000)
      broken.tunnel.reset()
      refused.tunnel.send('HTTP/1.1 403 Forbidden\r\n\r\n')
      refused.tunnel.close(1000)
      for (const { client } of [finished, broken, refused]) {
        await client.ended
        client.endWriting()
      }
    }
    await fixture.relay.tunnels(0)
    const left = await fixture.relay.close()
    assert.ok(left <= fixture.relay.initialDescriptors, `${left} descriptors`)
  })

  test('lets a tunnel finish within the grace period, and accepts nobody meanwhile', async () => {
    const fixture = await start({ closeGraceMs: 20_000 })
    const { client, tunnel } = await fixture.open()
    let hasClosed = false
    const closed = fixture.relay.close().then((left) => {
      hasClosed = true
      return left
    })
    await fixture.relay.stats()
    await assertRefusesConnections(fixture.relay.port)
    client.write('up')
    assert.equal((await tunnel.take(2)).toString(), 'up')
    assert.equal(hasClosed, false)
    tunnel.send('the end')
    tunnel.close(1000)
    assert.equal((await client.rest()).toString(), 'the end')
    assert.equal(await client.ended, 'fin')
    client.endWriting()
    assert.ok((await closed) <= fixture.relay.initialDescriptors)
  })

  test('resets open tunnels after the grace period, and tells those that wait', async () => {
    const fixture = await start()
    const open = await fixture.open('h:1')
    const halfClosed = await fixture.open('h:2')
    halfClosed.client.endWriting()
    const waiting = await fixture.dial('h:3')
    const reading = await fixture.connect()
    reading.write('CONNECT ')
    await fixture.relay.tunnels(4)
    const closed = fixture.relay.close(200)
    assertRefusal(await waiting.client.takeOnlyAnswer(), 503, 'shutting-down')
    assertRefusal(await reading.takeOnlyAnswer(), 503, 'shutting-down')
    assert.equal(await open.client.ended, 'reset')
    assert.equal(await halfClosed.client.ended, 'reset')
    assert.ok((await closed) <= fixture.relay.initialDescriptors)
    for (const { tunnel } of [open, halfClosed, waiting]) await tunnel.closed
  })

  test('waits for a half-closed client, and not for one of TLS', async () => {
    const fixture = await start()
    const waiting = await fixture.open('h:1')
    const gone = await fixture.open('h:2')
    waiting.client.endWriting()
    gone.client.write(CLIENT_HELLO)
    gone.client.endWriting()
    const closed = fixture.relay.close(60_000)
    await gone.tunnel.closed
    waiting.tunnel.send('late')
    waiting.tunnel.close(1000)
    assert.equal((await waiting.client.rest()).toString(), 'late')
    assert.equal(await waiting.client.ended, 'fin')
    await closed
  })

  test('with stalled tunnels in both directions: ends them too', async () => {
    const fixture = await start()
    const down = await fixture.open('h:1')
    const up = await fixture.open('h:2')
    down.client.socket.pause()
    up.tunnel.pause()
    const sends = [down.tunnel.sendAll(deterministicBytes(16 * MIB)), up.client.writeAll(deterministicBytes(16 * MIB))]
    await fixture.relay.stats()
    assert.ok((await fixture.relay.close(100)) <= fixture.relay.initialDescriptors)
    assert.equal(await up.client.ended, 'reset')
    down.client.socket.resume()
    assert.equal(await down.client.ended, 'reset')
    up.tunnel.resume()
    await Promise.all([...sends, down.tunnel.closed, up.tunnel.closed])
  })

  test('twice is once', async () => {
    const fixture = await start()
    const [first, second] = await Promise.all([fixture.relay.close(), fixture.relay.close(0)])
    assert.equal(first, second)
  })
})
