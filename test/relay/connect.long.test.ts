// The CONNECT table through a real relay: what is refused gets exactly one answer and reaches nobody, what is accepted
// reaches the gateway in its one canonical form.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { CLIENT_HELLO, CONNECT_VECTORS, type ConnectVector, connectHead } from '../support/connect-vectors.js'
import { assertRefusal } from '../support/refusal.js'
import { describeOnEachRuntime, IS_LARGE } from '../support/runtimes.js'
import { inParallel, type RelayFixture, SESSION, startFixture, TOKEN } from './fixture.js'

const STATUS_OF_REFUSAL = {
  'bad-request': 400,
  'bad-authority': 400,
  'method-not-allowed': 405,
  'http-version-unsupported': 505,
  'head-too-large': 431,
} as const

/** Behind a refused request: another one, which must never be answered or forwarded. */
const PIPELINED = Buffer.from(
  'GET http://169.254.169.254/ HTTP/1.1\r\nHost: h\r\n\r\nCONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n',
)

const BASIC = Buffer.from(`${SESSION}:${TOKEN}`).toString('base64')

/** The head that a gateway must see for a target. */
function canonicalHead(target: string): string {
  return `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\nProxy-Authorization: Basic ${BASIC}\r\n\r\n`
}

/** Ways to write the same bytes. */
function* writePatterns(bytes: Buffer): Generator<{ pattern: string; pieces: Buffer[] }> {
  yield { pattern: 'whole', pieces: [bytes] }
  const length = bytes.length < 2_000 ? 1 : 997
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; at += length) pieces.push(bytes.subarray(at, at + length))
  yield { pattern: length === 1 ? 'byte by byte' : 'in small pieces', pieces }
  // The parser's own test splits at each offset; over TCP a sample shows that the relay hands the pieces on.
  const step = IS_LARGE && bytes.length < 2_000 ? 1 : Math.ceil(bytes.length / 5)
  for (let at = 1; at < bytes.length; at += step) {
    yield { pattern: `split at ${at}`, pieces: [bytes.subarray(0, at), bytes.subarray(at)] }
  }
}

describeOnEachRuntime('CONNECT', (runtime) => {
  let fixture: RelayFixture
  before(async () => {
    fixture = await startFixture(runtime)
  })
  after(() => fixture.end())

  async function assertRefused({ bytes, refusal }: ConnectVector): Promise<void> {
    assert.ok(refusal)
    const { connections } = fixture.gateway
    for (const { pattern, pieces } of writePatterns(bytes)) {
      const client = await fixture.connect()
      await client.writePieces([...pieces, PIPELINED])
      if (pattern === 'whole') assert.equal(await client.ended, 'fin')
      assertRefusal(await client.takeOnlyAnswer(), STATUS_OF_REFUSAL[refusal], refusal)
    }
    assert.equal(fixture.gateway.connections, connections, 'nothing was dialled')
  }

  async function assertAccepted({ bytes, target, rest }: ConnectVector): Promise<void> {
    assert.ok(target !== undefined && rest !== undefined)
    for (const { pattern, pieces } of writePatterns(bytes)) {
      const client = await fixture.connect()
      await client.writePieces(pieces)
      const tunnel = await fixture.gateway.nextTunnel()
      assert.equal(tunnel.head, canonicalHead(target), pattern)
      tunnel.open()
      await client.takeOpening()
      // What did not come with the head waits for the answer.
      assert.deepEqual(await tunnel.take(rest.length), rest, pattern)
      client.write('up')
      assert.equal((await tunnel.take(2)).toString(), 'up', pattern)
      await client.endWriting()
      tunnel.close(1000)
      assert.equal((await client.rest()).length, 0)
      if (pattern === 'whole') assert.equal(await client.ended, 'fin')
    }
  }

  for (const vector of CONNECT_VECTORS) {
    if (vector.refusal === undefined) test(`accepts ${vector.title}`, () => assertAccepted(vector))
    else test(`answers ${STATUS_OF_REFUSAL[vector.refusal]} to ${vector.title}`, () => assertRefused(vector))
  }

  test('every split point of head and ClientHello arrives intact and in order', async () => {
    const length = connectHead('h.example:20000').length + CLIENT_HELLO.length
    await inParallel(length + 1, 8, async (at) => {
      // The port tells the tunnels apart.
      const target = `h.example:${20_000 + at}`
      const bytes = Buffer.concat([Buffer.from(connectHead(target)), CLIENT_HELLO])
      const client = await fixture.connect()
      await client.writePieces([bytes.subarray(0, at), bytes.subarray(at)])
      const tunnel = await fixture.gateway.nextTunnel(target)
      tunnel.open()
      assert.deepEqual(await tunnel.take(CLIENT_HELLO.length), CLIENT_HELLO, `split at ${at}`)
      client.write('end')
      assert.equal((await tunnel.take(3)).toString(), 'end', `nothing more, split at ${at}`)
      client.reset()
      await tunnel.closed
    })
  })

  test('no tunnel, refusal or descriptor is left', async () => {
    await fixture.relay.tunnels(0)
    const { tunnels } = await fixture.relay.stats()
    assert.deepEqual(tunnels.broken, {})
    assert.deepEqual(Object.keys(tunnels.refused).toSorted(), Object.keys(STATUS_OF_REFUSAL).toSorted())
  })
})
