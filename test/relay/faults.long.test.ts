// What may go wrong at the gateway, at the client and between them, each fault at every moment where it makes sense. Before the
// answer the client is told in one HTTP answer; after it there is nothing but a FIN for a whole stream and a reset for a broken
// one. Beside each fault another tunnel has to stay exact, and afterwards nothing may be left. Silence, where only a limit of time
// helps, is in limits.long.test.ts.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer as createTcpServer } from 'node:net'
import { after, afterEach, before, describe, test } from 'node:test'
import type { ErrorCode } from '#src/index.js'
import { connectHead } from '../support/connect-vectors.js'
import { deterministicBytes } from '../support/deterministic-bytes.js'
import { assertRefusal } from '../support/refusal.js'
import { startRelayProcess } from '../support/relay-process.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { encodeWireChunk, type PendingUpgrade, startWireGateway } from '../support/wire-gateway.js'
import { type OpenTunnel, RelayFixture, relayOptions, startFixture } from './fixture.js'

/** Where a tunnel stands when the fault comes. Faults while the gateway is dialled have a table of their own. */
const MOMENTS = ['waiting for the answer', 'with the first bytes', 'in mid-stream', 'half-closed'] as const
type Moment = (typeof MOMENTS)[number]
const AFTER_ANSWER = MOMENTS.slice(1)

const MAX_RECEIVED_BYTES = 65_536
const LIMITS = {
  maxReceivedMessageBytes: MAX_RECEIVED_BYTES,
  closeLingerMs: 1_000,
}

/** Bytes that went each way before a fault in mid-stream. */
const STREAMED_BYTES = 262_144

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(/\s/g, ''), 'hex')
}

async function reach(moment: Moment, fixture: RelayFixture): Promise<OpenTunnel> {
  const both = await fixture.dial()
  const { client, tunnel } = both
  if (moment === 'waiting for the answer') return both
  tunnel.open()
  await client.takeOpening()
  if (moment === 'with the first bytes') return both
  const bytes = [...deterministicBytes(STREAMED_BYTES)]
  const [up, down] = await Promise.all([
    tunnel.take(STREAMED_BYTES),
    client.take(STREAMED_BYTES),
    client.writeAll(bytes),
    tunnel.sendAll(bytes),
  ])
  assert.ok(up.equals(Buffer.concat(bytes)) && down.equals(up))
  if (moment === 'half-closed') await client.endWriting()
  return both
}

interface GatewayFault {
  readonly title: string
  inject(tunnel: OpenTunnel['tunnel']): void
  /** The code that a client is told that waits for the answer. */
  readonly refusal: ErrorCode
  /** How the client's connection ends after the answer. */
  readonly end: 'fin' | 'reset'
}

const LOST = { refusal: 'gateway-closed', end: 'reset' } as const
const BROKEN = { refusal: 'gateway-protocol-error', end: 'reset' } as const

/** A fault that is one WebSocket frame, or what should be one. */
function frame(title: string, bytes: string): GatewayFault {
  return { title, inject: (tunnel) => tunnel.sendRaw(hex(bytes)), ...BROKEN }
}

/** A fault that is one binary message. */
function message(title: string, bytes: Uint8Array): GatewayFault {
  return { title, inject: (tunnel) => tunnel.sendMessage(bytes), ...BROKEN }
}

function closeCode(code: number | undefined, end: 'fin' | 'reset'): GatewayFault {
  const title = code === undefined ? 'a Close frame without a code' : `close code ${code}`
  return { title, inject: (tunnel) => tunnel.close(code), refusal: 'gateway-closed', end }
}

const GATEWAY_FAULTS: readonly GatewayFault[] = [
  { title: 'a reset', inject: (tunnel) => tunnel.reset(), ...LOST },
  { title: 'a FIN without a Close frame', inject: (tunnel) => tunnel.fin(), ...LOST },
  closeCode(1000, 'fin'),
  closeCode(undefined, 'fin'),
  closeCode(1001, 'reset'),
  closeCode(1008, 'reset'),
  closeCode(1011, 'reset'),
  closeCode(4000, 'reset'),
  { title: 'a text frame', inject: (tunnel) => tunnel.socket.send('HTTP/1.1 200 OK\r\n\r\n'), ...BROKEN },
  message('a chunk that is cut off', hex('0a05 41')),
  message('a chunk with field 0', hex('0201 41')),
  message('a chunk with a group that does not end', hex('0b')),
  message('bytes that are no chunk', Buffer.alloc(100, 0xff)),
  message('a message above the limit', encodeWireChunk(Buffer.alloc(MAX_RECEIVED_BYTES))),
  frame('bytes that are no frame', 'ff'.repeat(64)),
  frame('HTTP instead of a frame', Buffer.from('HTTP/1.1 500 Oops\r\n\r\n').toString('hex')),
  frame('a frame with a reserved bit', 'c2 03 0a0141'),
  frame('a frame with an unknown opcode', '83 03 0a0141'),
  frame('a masked frame', '82 83 00000000 0a0141'),
  frame('a continuation of nothing', '80 03 0a0141'),
  frame('a fragmented ping', '09 00'),
  frame('a ping of 126 bytes', `89 7e 007e ${'00'.repeat(126)}`),
  frame('a Close frame with a body of one byte', '88 01 03'),
  frame('a Close frame with the code 1005', '88 02 03ed'),
  frame('a frame of 2^63 bytes', '82 7f 8000000000000000'),
]

interface Oddity {
  readonly title: string
  inject(tunnel: OpenTunnel['tunnel']): void
  /** What the client gets of it. */
  readonly payload: Buffer
  /** Every one where it is harmless, unless it is given. */
  readonly moments?: readonly Moment[]
}

const ODDITIES: readonly Oddity[] = [
  { title: 'an empty message', inject: (tunnel) => tunnel.sendMessage(hex('')), payload: hex('') },
  { title: 'an empty chunk', inject: (tunnel) => tunnel.sendMessage(hex('0a00')), payload: hex('') },
  {
    title: 'unknown fields around the payload',
    inject: (tunnel) => tunnel.sendMessage(hex('1801 0a0141 1a03 0a0142 1d00000000')),
    payload: hex('41'),
  },
  {
    title: 'two payloads in a message',
    inject: (tunnel) => tunnel.sendMessage(hex('0a0141 0a0142')),
    payload: hex('4142'),
  },
  {
    title: 'a message of the largest size',
    inject: (tunnel) => tunnel.send(Buffer.alloc(MAX_RECEIVED_BYTES - 4, 0x41)),
    payload: Buffer.alloc(MAX_RECEIVED_BYTES - 4, 0x41),
  },
  {
    title: '100,000 messages of one byte',
    inject: (tunnel) => {
      for (let count = 0; count < 100_000; count++) tunnel.sendMessage(hex('0a0141'))
    },
    payload: Buffer.alloc(100_000, 0x41),
    moments: ['in mid-stream'],
  },
  {
    title: '10,000 empty messages',
    inject: (tunnel) => {
      for (let count = 0; count < 10_000; count++) tunnel.sendMessage(hex(''))
    },
    payload: hex(''),
  },
  {
    title: 'a message in three fragments with a ping between',
    inject: (tunnel) => tunnel.sendRaw(hex('02 01 0a 89 00 00 01 01 80 01 41')),
    payload: hex('41'),
  },
  {
    title: 'fifty pings at once',
    inject: (tunnel) => {
      for (let count = 0; count < 50; count++) tunnel.socket.ping()
    },
    payload: hex(''),
  },
  { title: 'a pong that nobody asked for', inject: (tunnel) => tunnel.socket.pong(), payload: hex('') },
]

interface DialFault {
  readonly title: string
  readonly status: number
  readonly code: ErrorCode
  readonly onConnection?: RelayFixture['gateway']['onConnection']
  readonly onUpgrade?: (upgrade: PendingUpgrade) => void
}

function upgradeStatus(status: number, answer: number, code: ErrorCode, ...fields: string[]): DialFault {
  return {
    title: `${status} to the upgrade`,
    status: answer,
    code,
    onUpgrade: ({ refuse }) => refuse(status, ...fields),
  }
}

function upgradeAnswer(title: string, bytes: string | Uint8Array): DialFault {
  return {
    title,
    status: 502,
    code: 'gateway-upgrade-refused',
    onUpgrade: ({ request }) => request.socket.write(bytes),
  }
}

const SWITCHING = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'

const DIAL_FAULTS: readonly DialFault[] = [
  {
    title: 'a reset of the new connection',
    status: 502,
    code: 'gateway-unreachable',
    onConnection: (socket) => {
      socket.resetAndDestroy()
      return true
    },
  },
  {
    title: 'a FIN on the new connection',
    status: 502,
    code: 'gateway-unreachable',
    onConnection: (socket) => {
      socket.destroy()
      return true
    },
  },
  {
    title: 'something other than TLS',
    status: 502,
    code: 'gateway-tls-failed',
    onConnection: (socket) => {
      socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')
      return true
    },
  },
  upgradeStatus(401, 502, 'gateway-token-refused'),
  upgradeStatus(403, 502, 'gateway-token-refused'),
  upgradeStatus(429, 503, 'gateway-overloaded'),
  upgradeStatus(503, 503, 'gateway-overloaded'),
  upgradeStatus(500, 502, 'gateway-upgrade-refused'),
  upgradeStatus(404, 502, 'gateway-upgrade-refused'),
  upgradeStatus(200, 502, 'gateway-upgrade-refused'),
  {
    title: 'a reset instead of an answer to the upgrade',
    status: 502,
    code: 'gateway-unreachable',
    onUpgrade: ({ request }) => request.socket.destroy(),
  },
  upgradeAnswer('an answer to the upgrade that is no HTTP', 'hello\r\n\r\n'),
  upgradeAnswer('a wrong Sec-WebSocket-Accept', `${SWITCHING}Sec-WebSocket-Accept: AAAA\r\n\r\n`),
  upgradeAnswer('no Sec-WebSocket-Accept', `${SWITCHING}\r\n`),
  upgradeAnswer('an answer to the upgrade with a head of 100 KiB', `${SWITCHING}X: ${'x'.repeat(102_400)}\r\n\r\n`),
]

describeOnEachRuntime('faults', (runtime) => {
  let fixture: RelayFixture
  let bystander: { check(): Promise<void> }
  let descriptors: number
  before(async () => {
    fixture = await startFixture(runtime, { limits: LIMITS })
    bystander = await fixture.openBystander()
    // What a runtime opens once and keeps is open after the first tunnel and the first refusal.
    const { client } = await fixture.open()
    client.reset()
    await fixture.relay.tunnels(1)
    descriptors = await fixture.relay.descriptors()
  })
  afterEach(async () => {
    fixture.gateway.onConnection = undefined
    fixture.gateway.onUpgrade = undefined
    await bystander.check()
    await fixture.relay.tunnels(1)
    assert.deepEqual(fixture.relay.faults, [])
  })
  after(async () => {
    await fixture.relay.descriptorsAtMost(descriptors)
    await fixture.end()
  })

  describe('of the gateway', () => {
    for (const { title, inject, refusal, end } of GATEWAY_FAULTS) {
      for (const moment of MOMENTS) {
        const isOpen = moment !== 'waiting for the answer'
        test(`${title}, ${moment}: ${isOpen ? end : 502}`, async () => {
          const { client, tunnel } = await reach(moment, fixture)
          inject(tunnel)
          if (isOpen) {
            assert.equal((await client.rest()).toString('latin1'), '', 'nothing of the relay comes after the answer')
            assert.equal(await client.ended, end)
            client.endWriting()
          } else {
            assertRefusal(await client.takeOnlyAnswer(), 502, refusal)
          }
          await tunnel.closed
        })
      }
    }

    for (const moment of MOMENTS) {
      test(`1,000 pings at once, ${moment}: the last is answered, and the tunnel lives on`, async () => {
        const { client, tunnel } = await reach(moment, fixture)
        const answered = new Promise<void>((resolve) => {
          tunnel.socket.on('pong', (body) => body.toString() === '999' && resolve())
        })
        for (let count = 0; count < 1_000; count++) tunnel.socket.ping(`${count}`)
        await answered
        if (moment === 'waiting for the answer') {
          tunnel.open()
          await client.takeOpening()
        }
        tunnel.send('and on')
        assert.equal((await client.take(6)).toString(), 'and on')
        client.reset()
        await tunnel.closed
      })
    }

    test('bytes that were sent before a normal close all arrive before the FIN', async () => {
      for (const moment of AFTER_ANSWER) {
        const { client, tunnel } = await reach(moment, fixture)
        const bytes = Buffer.concat([...deterministicBytes(300_000)])
        await tunnel.sendAll([bytes])
        tunnel.close(1000)
        assert.ok((await client.rest()).equals(bytes), moment)
        assert.equal(await client.ended, 'fin')
        client.endWriting()
      }
    })

    test('an answer that breaks off in its status line is a refusal', async () => {
      const { client, tunnel } = await fixture.dial()
      tunnel.send('HTTP/1.1 2')
      tunnel.close(1000)
      assertRefusal(await client.takeOnlyAnswer(), 502, 'gateway-closed')
    })

    test('an answer that is no HTTP is a refusal, and none of it reaches the client', async () => {
      const { client, tunnel } = await fixture.dial()
      tunnel.send('SSH-2.0-OpenSSH_9.9\r\n')
      assertRefusal(await client.takeOnlyAnswer(), 502, 'gateway-protocol-error')
      await tunnel.closed
    })
  })

  describe('that are none', () => {
    for (const { title, inject, payload, moments } of ODDITIES) {
      // Before the answer only what carries nothing is harmless.
      for (const moment of moments ?? (payload.length > 0 ? AFTER_ANSWER : MOMENTS)) {
        test(`${title}, ${moment}: the tunnel lives on`, async () => {
          const { client, tunnel } = await reach(moment, fixture)
          inject(tunnel)
          if (moment === 'waiting for the answer') {
            tunnel.open()
            await client.takeOpening()
          }
          tunnel.send('and on')
          assert.ok((await client.take(payload.length)).equals(payload))
          assert.equal((await client.take(6)).toString(), 'and on')
          if (moment !== 'half-closed') {
            client.write('up')
            assert.equal((await tunnel.take(2)).toString(), 'up')
          }
          tunnel.close(1000)
          assert.equal(await client.ended, 'fin')
          client.endWriting()
        })
      }
    }
  })

  describe('while the gateway is dialled', () => {
    for (const { title, status, code, onConnection, onUpgrade } of DIAL_FAULTS) {
      test(`${title}: ${status} ${code}`, async () => {
        fixture.gateway.onConnection = onConnection
        fixture.gateway.onUpgrade = onUpgrade
        const client = await fixture.connect()
        client.write(connectHead('h.example:443'))
        assertRefusal(await client.takeOnlyAnswer(), status, code)
      })
    }

    test('302 to the upgrade: 502, and nobody follows', async () => {
      let followers = 0
      const other = createTcpServer((socket) => {
        followers++
        socket.destroy()
      }).listen(0, '127.0.0.1')
      await once(other, 'listening')
      const { port } = other.address() as { port: number }
      fixture.gateway.onUpgrade = ({ refuse }) => refuse(302, `Location: wss://127.0.0.1:${port}/`)
      const { connections } = fixture.gateway
      const client = await fixture.connect()
      client.write(connectHead('h.example:443'))
      assertRefusal(await client.takeOnlyAnswer(), 502, 'gateway-upgrade-refused')
      await bystander.check()
      assert.equal(fixture.gateway.connections, connections + 1)
      assert.equal(followers, 0)
      other.close()
    })

    test('a slow upgrade within the limit is waited for', async () => {
      let upgrade: PendingUpgrade | undefined
      const asked = new Promise<void>((resolve) => {
        fixture.gateway.onUpgrade = (pending) => {
          upgrade = pending
          resolve()
        }
      })
      const client = await fixture.connect()
      client.write(connectHead('h.example:443'))
      await asked
      await bystander.check()
      upgrade?.accept()
      const tunnel = await fixture.gateway.nextTunnel()
      tunnel.open()
      await client.takeOpening()
      client.reset()
    })
  })

  describe('of the client', () => {
    for (const moment of MOMENTS) {
      test(`a reset, ${moment}: the gateway is let go`, async () => {
        const { client, tunnel } = await reach(moment, fixture)
        client.reset()
        await tunnel.closed
      })
    }

    for (const bytes of ['', 'C', connectHead('h.example:443').slice(0, -1)]) {
      for (const end of ['reset', 'endWriting'] as const) {
        test(`${end === 'reset' ? 'a reset' : 'a FIN'} after ${bytes.length} bytes of the head: nothing is dialled`, async () => {
          const { connections } = fixture.gateway
          const client = await fixture.connect()
          if (bytes !== '') client.write(bytes)
          client[end]()
          if (end === 'endWriting') assert.equal((await client.rest()).length, 0)
          await fixture.relay.tunnels(1)
          assert.equal(fixture.gateway.connections, connections)
        })
      }
    }

    test('a reset while the gateway is dialled: the connection to the gateway is let go', async () => {
      const dialled = new Promise<PendingUpgrade>((resolve) => {
        fixture.gateway.onUpgrade = resolve
      })
      const client = await fixture.connect()
      client.write(connectHead('h.example:443'))
      const { request } = await dialled
      // Not once(): the reset may show as an error before the close.
      const closed = new Promise((resolve) => request.socket.once('close', resolve))
      client.reset()
      await closed
    })

    test('a FIN while the gateway is dialled does not end the tunnel', async () => {
      const client = await fixture.connect()
      client.write(connectHead('h.example:443'))
      client.endWriting()
      const tunnel = await fixture.gateway.nextTunnel()
      tunnel.open()
      await client.takeOpening()
      tunnel.send('still here')
      tunnel.close(1000)
      assert.equal((await client.rest()).toString(), 'still here')
      assert.equal(await client.ended, 'fin')
    })

    test('a client that never closes after a refusal is let go', async () => {
      const refused = await fixture.connect()
      refused.write('GET / HTTP/1.1\r\nHost: h\r\n\r\n')
      assert.equal(await refused.ended, 'fin')
      await fixture.relay.tunnels(1)
    })
  })
})

describeOnEachRuntime('a gateway that cannot be trusted or found', (runtime) => {
  test('no certificate but a right one gets the token', async () => {
    const wrongName = await startWireGateway('other.example')
    const wrongRoot = await startWireGateway()
    const cases = [
      { gateway: wrongName, options: relayOptions(wrongName), what: 'a certificate for another name' },
      {
        gateway: wrongRoot,
        options: relayOptions(wrongRoot, { trustedCertificates: wrongName.rootPem }),
        what: 'a root that is not trusted',
      },
    ]
    for (const { gateway, options, what } of cases) {
      const relay = await startRelayProcess(runtime, options, { env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' } })
      // Node warns about the variable, which must have no effect.
      const fixture = new RelayFixture(gateway, relay)
      const client = await fixture.connect()
      client.write(connectHead('h.example:443'))
      assertRefusal(await client.takeOnlyAnswer(), 502, 'gateway-tls-failed')
      assert.equal(gateway.upgrades, 0, what)
      assert.ok(gateway.connections > 0)
      relay.faults.splice(0)
      await relay.stop()
    }
    await wrongName.close()
    await wrongRoot.close()
  })

  test('a name that does not resolve: 502 gateway-dns-failed; a closed port: 502 gateway-unreachable', async () => {
    const gateway = await startWireGateway()
    const closed = gateway.url
    await gateway.close()
    for (const [tunnelUrl, code] of [
      ['wss://gateway.invalid/ws', 'gateway-dns-failed'],
      [closed, 'gateway-unreachable'],
    ] as const) {
      const relay = await startRelayProcess(runtime, relayOptions(gateway, { tunnelUrl }))
      const fixture = new RelayFixture(gateway, relay)
      const client = await fixture.connect()
      client.write(connectHead('h.example:443'))
      assertRefusal(await client.takeOnlyAnswer(), 502, code)
      await relay.stop()
    }
  })
})

describeOnEachRuntime('SIGTERM', (runtime) => {
  test('with 100 tunnels: every client ends with a reset and the process with 0', async () => {
    const fixture = await startFixture(runtime, { closeGraceMs: 100 })
    fixture.serveEcho()
    const clients = await Promise.all(
      Array.from({ length: 100 }, async () => {
        const client = await fixture.connect()
        client.write(connectHead('echo.example:443'))
        await client.takeOpening()
        return client
      }),
    )
    const exited = once(fixture.relay.child, 'exit')
    fixture.relay.child.kill('SIGTERM')
    assert.deepEqual(new Set(await Promise.all(clients.map(({ ended }) => ended))), new Set(['reset']))
    assert.deepEqual(await exited, [0, null])
    assert.deepEqual(fixture.relay.faults, [])
    await fixture.gateway.close()
  })
})
