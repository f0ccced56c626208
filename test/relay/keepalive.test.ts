// Whether the relay finds a gateway that is gone, and leaves one alone that is only held up.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { after, before, describe, test } from 'node:test'
import { Keepalive } from '#src/relay/keepalive.js'
import { DEFAULT_RELAY_LIMITS, type RelayLimits } from '#src/relay/limits.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { type OpenTunnel, type RelayFixture, startFixture } from './fixture.js'

const QUIET = { movedBytes: 0, isReadingPaused: false, queuedBytes: 0, isUplinkFull: false }

/** What a keepalive does in each second, as `second: action`. */
function actionsOf(
  seconds: number,
  signsAt: (second: number) => Partial<typeof QUIET>,
  pongAt: number[] = [],
  limits: Partial<RelayLimits> = {},
): string[] {
  const clock = { now: 0, readUntil: 0 }
  const keepalive = new Keepalive({ ...DEFAULT_RELAY_LIMITS, ...limits }, clock)
  const actions: string[] = []
  for (let second = 1; second <= seconds; second++) {
    clock.now = second * 1_000
    clock.readUntil = clock.now
    if (pongAt.includes(second)) keepalive.onPong()
    const action = keepalive.check({ ...QUIET, ...signsAt(second) })
    if (action !== 'none') actions.push(`${second}: ${action}`)
    if (action === 'dead') break
  }
  return actions
}

describe('the rules of the keepalive, with the default limits unless it is said', () => {
  test('a gateway that answers nothing is dead after 44 seconds', () => {
    assert.deepEqual(
      actionsOf(100, () => ({})),
      ['20: ping', '40: ping', '44: dead'],
    )
  })

  test('so is one with a pong that may take longer than the next ping would', () => {
    assert.deepEqual(
      actionsOf(100, () => ({}), [], { pingIntervalMs: 2_000 }),
      ['2: ping', '4: ping', '8: dead'],
    )
  })

  test('a pong, even a late one, begins the count anew', () => {
    assert.deepEqual(
      actionsOf(90, () => ({}), [43]),
      ['20: ping', '40: ping', '60: ping', '80: ping', '84: dead'],
    )
  })

  test('bytes that move are an answer', () => {
    const trickle = (second: number) => ({ movedBytes: Math.floor(second / 15) })
    assert.deepEqual(actionsOf(100, trickle), ['20: ping', '40: ping', '60: ping', '80: ping', '100: ping'])
  })

  test('while reading is paused pongs go out and nobody is dead', () => {
    const paused = (second: number) => ({ isReadingPaused: second < 90 })
    assert.deepEqual(actionsOf(140, paused), [
      '20: pong',
      '40: pong',
      '60: pong',
      '80: pong',
      '100: ping',
      '120: ping',
      '124: dead',
    ])
  })

  test('a gateway that takes nothing of what waits has five minutes', () => {
    const actions = actionsOf(400, () => ({ queuedBytes: 1 }))
    assert.equal(actions.at(-1), '300: dead')
  })

  test('so has one whose pong may wait behind what was sent, until one has come', () => {
    const upload = (second: number) => ({ queuedBytes: second < 10 ? 1 : 0 })
    assert.deepEqual(actionsOf(400, upload), ['20: ping', '40: ping', '300: dead'])
    assert.deepEqual(actionsOf(400, upload, [30]), ['20: ping', '40: ping', '60: ping', '64: dead'])
  })

  test('so has one whose pings wait behind the data of others; it is pinged, and dead at once when they did not', () => {
    assert.equal(actionsOf(400, () => ({ isUplinkFull: true })).at(-1), '300: dead')
    const full = (second: number) => ({ isUplinkFull: second < 100 })
    assert.deepEqual(actionsOf(400, full), ['20: ping', '40: ping', '100: dead'])
    assert.deepEqual(actionsOf(130, full, [90]), ['20: ping', '40: ping', '90: ping', '110: ping', '114: dead'])
  })

  test('an upload fills the uplink when something waited for as long as a pong may take, and some of it is taken', () => {
    const clock = { now: 0, readUntil: 0 }
    const keepalive = new Keepalive(DEFAULT_RELAY_LIMITS, clock)
    const isFullAt = (second: number, signs: Partial<typeof QUIET>): boolean => {
      clock.now = second * 1_000
      clock.readUntil = clock.now
      keepalive.check({ ...QUIET, ...signs })
      return keepalive.fillsUplink
    }
    assert.equal(isFullAt(1, { queuedBytes: 1, movedBytes: 1 }), false)
    assert.equal(isFullAt(4, { queuedBytes: 1, movedBytes: 2 }), false)
    assert.equal(isFullAt(5, { queuedBytes: 1, movedBytes: 3 }), true)
    assert.equal(isFullAt(48, { queuedBytes: 1, movedBytes: 3 }), true)
    // Nothing was taken for so long that it is the gateway that holds it back.
    assert.equal(isFullAt(49, { queuedBytes: 1, movedBytes: 3 }), false)
    assert.equal(isFullAt(50, { queuedBytes: 1, movedBytes: 4 }), true)
    // The system has it all, and no pong says that it is through.
    assert.equal(isFullAt(51, { queuedBytes: 0, movedBytes: 5 }), true)
    keepalive.onPong()
    assert.equal(isFullAt(52, { queuedBytes: 0, movedBytes: 5 }), false)
    assert.equal(isFullAt(53, { queuedBytes: 1, movedBytes: 6 }), false)
  })
})

describeOnEachRuntime('keepalive', (runtime) => {
  let fixture: RelayFixture
  /** A gateway on a busy machine answers one of two pings within this time. */
  const limits = { pingIntervalMs: 250, pongTimeoutMs: 1_500 }

  before(async () => {
    fixture = await startFixture(runtime, { limits })
  })
  after(() => fixture.end())

  /** The gateway reads nothing more of a tunnel, and so answers no ping, until the relay gives it up. */
  async function silence({ client, tunnel }: OpenTunnel): Promise<void> {
    tunnel.pause()
    assert.equal(await client.ended, 'reset')
    tunnel.resume()
    await tunnel.closed
  }

  test('a gateway that takes bytes and answers nothing is found, and the client is reset', async () => {
    const { client, tunnel } = await fixture.open()
    tunnel.send('before')
    assert.equal((await client.take(6)).toString(), 'before')
    const begin = performance.now()
    await silence({ client, tunnel })
    const tookMs = performance.now() - begin
    assert.ok(tookMs >= limits.pongTimeoutMs, `${tookMs} ms`)
    assert.equal((await fixture.relay.stats()).tunnels.broken['tunnel-lost'], 1)
  })

  test('a gateway that answers pings keeps a silent tunnel', async () => {
    const { client, tunnel } = await fixture.open()
    await silence(await fixture.open())
    tunnel.send('still here')
    assert.equal((await client.take(10)).toString(), 'still here')
    client.reset()
    await tunnel.closed
  })

  test('a client that reads nothing keeps its tunnel, and the gateway hears of it', async () => {
    const { client, tunnel } = await fixture.open()
    client.socket.pause()
    const sent = 16 * 1024 * 1024
    const sending = tunnel.sendAll([Buffer.alloc(sent, 0x61)])
    for (let pongs = 0; pongs < 10; pongs++) await once(tunnel.socket, 'pong')
    client.socket.resume()
    await sending
    assert.equal((await client.take(sent)).length, sent)
    client.reset()
    await tunnel.closed
  })

  test('a gateway that holds an upload back keeps its tunnel', async () => {
    const { client, tunnel } = await fixture.open()
    tunnel.pause()
    const sent = 16 * 1024 * 1024
    const received = tunnel.received
    const sending = client.writeAll([Buffer.alloc(sent, 0x62)])
    await silence(await fixture.open())
    tunnel.resume()
    await sending
    await tunnel.reached(received + sent)
    client.reset()
    await tunnel.closed
  })
})
