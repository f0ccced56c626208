// What the relay tells of its tunnels: events with the stages of each, why it ended, and histograms.

import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import type { RelayLatencies, RelayLimits, TunnelEnd } from '#src/index.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { type OpenTunnel, type RelayFixture, startFixture } from './fixture.js'

/** What a stage takes here at least, so that it can be told from the others. */
const PAUSE_MS = 30

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
}

describeOnEachRuntime('what the relay tells', (runtime) => {
  let fixture: RelayFixture
  afterEach(() => fixture.end())

  async function start(limits: Partial<RelayLimits> = {}): Promise<RelayFixture> {
    fixture = await startFixture(runtime, { limits })
    await fixture.relay.listen()
    return fixture
  }

  /** What is said of the first tunnel when it is over. */
  async function endOf(): Promise<TunnelEnd> {
    await fixture.relay.tunnels(0)
    return fixture.relay.event('ccr-upstream-proxy:tunnel:close', ({ id }) => id === 1)
  }

  /** Until the relay has read what its clients have sent before: another is accepted, read and answered later. */
  async function untilRead(): Promise<void> {
    const other = await fixture.connect()
    other.write('GET http://h.example/ HTTP/1.1\r\nHost: h.example\r\n\r\n')
    await other.takeOnlyAnswer()
    other.endWriting()
  }

  function counts(latencies: RelayLatencies): Record<string, number> {
    return Object.fromEntries(Object.entries(latencies).map(([name, { count }]) => [name, count]))
  }

  test('a tunnel is told when it opens, is established and ends, with the time of each stage', async () => {
    const { relay } = await start()
    const { client, tunnel } = await fixture.dial('h.example:443')
    await pause()
    tunnel.open()
    await client.takeOpening()
    await pause()
    client.write('up')
    await tunnel.take(2)
    tunnel.send('down')
    await client.take(4)
    tunnel.close(1000)
    assert.equal(await client.ended, 'fin')
    client.endWriting()
    await endOf()
    const { events } = fixture.relay
    assert.deepEqual(
      events.map(({ name }) => name.replace('ccr-upstream-proxy:tunnel:', '')),
      ['open', 'established', 'close'],
    )
    const [open, established, close] = events.map(({ message }) => message) as [TunnelEnd, TunnelEnd, TunnelEnd]
    assert.deepEqual(
      [open.id, open.authority, open.host, open.port, open.route, open.state, open.dialMs],
      [1, 'h.example:443', 'h.example', 443, 'gateway', 'dialling', undefined],
    )
    assert.equal(established.state, 'open')
    assert.equal(established.firstByteMs, undefined)
    const { dialMs = 0, connectMs = 0, firstByteMs = 0, ageMs } = close
    assert.ok(dialMs > 0, `${dialMs}`)
    assert.ok(connectMs >= PAUSE_MS - 1 && firstByteMs >= PAUSE_MS - 1, `${connectMs} ${firstByteMs}`)
    assert.ok(ageMs >= dialMs + connectMs + firstByteMs)
    assert.deepEqual(
      [close.outcome, close.reason, close.code, close.bytesUp, close.bytesDown > 4],
      ['completed', 'target-ended', undefined, 2, true],
    )
    const { latencies } = await relay.stats()
    assert.deepEqual(counts(latencies), { dial: 1, connect: 1, firstByte: 1, age: 1 })
    assert.equal(latencies.connect.sumMs, connectMs)
    assert.equal(latencies.age.counts.length, latencies.age.boundsMs.length + 1)
  })

  test('a dial that nobody waited for is in no figure', async () => {
    await start({ maxWarmTunnels: 1 })
    await fixture.relay.warm(({ ready }) => ready === 1)
    const { client, tunnel } = await fixture.open()
    tunnel.close(1000)
    client.endWriting()
    const { dialMs, connectMs } = await endOf()
    assert.equal(dialMs, undefined)
    assert.ok(connectMs !== undefined)
    assert.deepEqual(counts((await fixture.relay.stats()).latencies), { dial: 0, connect: 1, firstByte: 0, age: 1 })
  })

  test('a refusal of the relay has its code, at the refusal and at the end', async () => {
    await start()
    const client = await fixture.connect()
    client.write('GET http://h.example/ HTTP/1.1\r\nHost: h.example\r\n\r\n')
    await client.takeOnlyAnswer()
    client.endWriting()
    const { outcome, reason, code, authority } = await endOf()
    assert.deepEqual([outcome, reason, code, authority], ['refused', 'refused', 'method-not-allowed', undefined])
    const [refusal] = fixture.relay.events
    assert.ok(refusal?.name === 'ccr-upstream-proxy:tunnel:refuse')
    assert.equal(refusal.message.code, 'method-not-allowed')
    assert.deepEqual((await fixture.relay.stats()).tunnels.refused, { 'method-not-allowed': 1 })
  })

  test('a refusal of the gateway has none, and counts as an answer but not as a tunnel', async () => {
    await start()
    const { client, tunnel } = await fixture.dial()
    tunnel.send('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n')
    tunnel.close(1000)
    await client.takeOnlyAnswer()
    client.endWriting()
    const { outcome, reason, code } = await endOf()
    assert.deepEqual([outcome, reason, code], ['refused', 'gateway-refused', undefined])
    const { latencies, tunnels } = await fixture.relay.stats()
    assert.deepEqual(counts(latencies), { dial: 1, connect: 1, firstByte: 0, age: 0 })
    assert.equal(tunnels.refusedByGateway, 1)
  })

  const ENDS: readonly {
    title: string
    limits?: Partial<RelayLimits>
    end: (tunnel: OpenTunnel) => void | Promise<void>
    told: [TunnelEnd['outcome'], TunnelEnd['reason'], TunnelEnd['code']]
  }[] = [
    {
      title: 'the client ended first',
      end: async ({ client, tunnel }) => {
        await client.endWriting()
        await untilRead()
        tunnel.close(1000)
      },
      told: ['completed', 'client-ended', undefined],
    },
    {
      title: 'the client broke off',
      end: ({ client }) => client.reset(),
      told: ['completed', 'client-gone', undefined],
    },
    {
      title: 'the gateway broke off',
      end: ({ tunnel }) => tunnel.reset(),
      told: ['broken', 'connection-lost', 'tunnel-lost'],
    },
    {
      title: 'nothing moved for too long',
      limits: { idleTimeoutMs: 300 },
      end: () => {},
      told: ['broken', 'given-up', 'tunnel-expired'],
    },
  ]
  for (const { title, limits, end, told } of ENDS) {
    test(`a tunnel's end is told with its reason: ${title}`, async () => {
      await start(limits)
      await end(await fixture.open())
      const { outcome, reason, code } = await endOf()
      assert.deepEqual([outcome, reason, code], told)
    })
  }

  test('a client that goes away before the answer has abandoned its tunnel', async () => {
    await start()
    const { client } = await fixture.dial()
    client.reset()
    const { outcome, reason, code } = await endOf()
    assert.deepEqual([outcome, reason, code], ['abandoned', 'client-gone', undefined])
  })

  test('the state of the relay is told until it is closed', async () => {
    await start()
    await fixture.relay.close()
    assert.deepEqual(
      fixture.relay.events.map(({ message }) => message),
      [
        { state: 'closing', port: fixture.relay.port },
        { state: 'closed', port: fixture.relay.port },
      ],
    )
  })
})
