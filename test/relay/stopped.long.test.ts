// A relay whose process is stopped for longer than every limit: whatever came meanwhile has come in time. All states are stopped at
// once, for a stop has to be long.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import type { StartRelayOptions } from '#src/index.js'
import { connectHead } from '../support/connect-vectors.js'
import { deterministicBytes, digestOf } from '../support/deterministic-bytes.js'
import { startScriptedProxy, tunnelBehind } from '../support/egress-proxy.js'

import type { RawClient } from '../support/raw-client.js'
import type { RelayProcess } from '../support/relay-process.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import type { PendingUpgrade } from '../support/wire-gateway.js'
import { type OpenTunnel, type RelayFixture, startFixture } from './fixture.js'

/** Long enough for what the tests do before and after the stop on a machine that has much to do. */
const LIMIT_MS = 10_000
const STOP_MS = 12_000

/** More than the system takes on the way to a client that does not read, and less than makes the relay read no more. */
const MANY_BYTES = 8 * 1_048_576

const LIMITS = {
  headTimeoutMs: LIMIT_MS,
  dialTimeoutMs: LIMIT_MS,
  egressTimeoutMs: LIMIT_MS,
  answerTimeoutMs: LIMIT_MS,
  idleTimeoutMs: LIMIT_MS,
  lingerMs: LIMIT_MS,
  closeLingerMs: LIMIT_MS,
  pingIntervalMs: LIMIT_MS / 4,
  pongTimeoutMs: LIMIT_MS / 4,
  highWaterMarkBytes: 2 * MANY_BYTES,
}

/** Stops every thread of the relay, lets `meanwhile` happen, and lets it go on after the time. */
async function stop({ child }: RelayProcess, meanwhile: () => void): Promise<void> {
  const tasks = `/proc/${child.pid}/task`
  const isStopped = (): boolean =>
    readdirSync(tasks).every((task) => readFileSync(`${tasks}/${task}/stat`, 'latin1').includes(') T '))
  child.kill('SIGSTOP')
  while (!isStopped()) await wait(1)
  meanwhile()
  await wait(STOP_MS)
  child.kill('SIGCONT')
}

/** A tunnel that waits for its WebSocket; what lets it have it. */
async function dialPending(fixture: RelayFixture, target: string) {
  const pending = new Promise<PendingUpgrade>((resolve) => {
    fixture.gateway.onUpgrade = resolve
  })
  const client = await fixture.connect()
  client.write(connectHead(target))
  const upgrade = await pending
  fixture.gateway.onUpgrade = undefined
  return { client, accept: () => upgrade.accept() }
}

async function halfClose(fixture: RelayFixture): Promise<OpenTunnel> {
  const both = await fixture.open('half-closed.example:443')
  both.client.write('all')
  await both.client.endWriting()
  await both.tunnel.take(3)
  return both
}

async function refuse(fixture: RelayFixture): Promise<OpenTunnel> {
  const both = await fixture.dial('refused.example:443')
  const refusal = 'HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\n\r\nfour'
  both.tunnel.send(refusal)
  await both.client.reached(refusal.length)
  return both
}

/** The gateway has sent everything and closed; the client has taken nothing of it. */
async function end(fixture: RelayFixture): Promise<OpenTunnel> {
  const both = await fixture.open('ending.example:443')
  both.client.socket.pause()
  await both.tunnel.sendAll(deterministicBytes(MANY_BYTES))
  both.tunnel.close(1000)
  await both.tunnel.closed
  return both
}

/** The gateway takes the tunnel, and the client hears of it. */
async function establish({ gateway }: RelayFixture, client: RawClient, target: string): Promise<void> {
  await Promise.all([gateway.nextTunnel(target).then((tunnel) => tunnel.open()), client.takeOpening()])
}

describeOnEachRuntime('a relay that is stopped', (runtime) => {
  describe(`for ${STOP_MS} ms, with limits of ${LIMIT_MS} ms`, { concurrency: true }, () => {
    const startWith = async (t: TestContext, more: Partial<StartRelayOptions> = {}): Promise<RelayFixture> => {
      const fixture = await startFixture(runtime, { limits: LIMITS, ...more })
      t.after(() => fixture.end())
      return fixture
    }

    test('refuses, resets and loses nothing that comes meanwhile', async (t) => {
      const fixture = await startWith(t)
      const dialled = await dialPending(fixture, 'dialled.example:443')
      const [answered, open, halfClosed, refused, ending] = await Promise.all([
        fixture.dial('answered.example:443'),
        fixture.open('open.example:443'),
        halfClose(fixture),
        refuse(fixture),
        end(fixture),
      ])
      const head = connectHead('head.example:443')
      const reading = await fixture.connect()
      reading.write(head.slice(0, 20))

      await stop(fixture.relay, () => {
        reading.write(head.slice(20))
        dialled.accept()
        answered.tunnel.open()
        open.client.write('up')
        open.tunnel.send('down')
        halfClosed.tunnel.send('the answer')
        halfClosed.tunnel.close(1000)
        refused.tunnel.send('more')
        refused.tunnel.close(1000)
        ending.client.socket.resume()
      })

      await answered.client.takeOpening()
      assert.equal((await open.client.take(4)).toString(), 'down')
      assert.equal((await open.tunnel.take(2)).toString(), 'up')
      assert.equal((await halfClosed.client.rest()).toString(), 'the answer')
      assert.equal(await halfClosed.client.ended, 'fin')
      assert.match((await refused.client.rest()).toString(), / 403 .*fourmore$/s)
      assert.deepEqual(await ending.client.digest(), digestOf(MANY_BYTES))
      assert.equal(await ending.client.ended, 'fin')
      await establish(fixture, dialled.client, 'dialled.example:443')
      await establish(fixture, reading, 'head.example:443')
    })

    test('takes what the egress proxy answers meanwhile', async (t) => {
      const script = tunnelBehind('HTTP/1.1 200 OK\r\n\r\n')
      const asked: Array<() => void> = []
      const proxy = await startScriptedProxy((socket, head) => asked.push(() => script(socket, head)))
      t.after(() => proxy.close())
      const fixture = await startWith(t, { egress: `http://127.0.0.1:${proxy.port}` })
      const client = await fixture.connect()
      client.write(connectHead('h.example:443'))
      while (asked.length === 0) await wait(1)
      await stop(fixture.relay, () => asked.shift()?.())
      await establish(fixture, client, 'h.example:443')
    })

    test('gives its tunnels the grace of an end that has begun', async (t) => {
      const fixture = await startWith(t)
      const { client, tunnel } = await fixture.open()
      await fixture.relay.listen()
      const closed = fixture.relay.close(LIMIT_MS)
      await fixture.relay.event('ccr-upstream-proxy:state')
      await stop(fixture.relay, () => {
        tunnel.send('the last')
        tunnel.close(1000)
      })
      assert.equal((await client.rest()).toString(), 'the last')
      assert.equal(await client.ended, 'fin')
      client.endWriting()
      await closed
    })
  })
})
