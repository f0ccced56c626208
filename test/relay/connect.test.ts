// A CONNECT through a real relay: what reaches the gateway, and what comes back. The whole table of heads, cut in every way, is in
// connect.long.test.ts.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { CLIENT_HELLO, connectHead } from '../support/connect-vectors.js'
import { assertRefusal } from '../support/refusal.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { type RelayFixture, SESSION, startFixture, TOKEN } from './fixture.js'

/** Behind a refused request: another one, which must never be answered or forwarded. */
const PIPELINED = Buffer.from(
  'GET http://169.254.169.254/ HTTP/1.1\r\nHost: h\r\n\r\nCONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n',
)

const BASIC = Buffer.from(`${SESSION}:${TOKEN}`).toString('base64')

/** The head that a gateway must see for a target. */
function canonicalHead(target: string): string {
  return `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\nProxy-Authorization: Basic ${BASIC}\r\n\r\n`
}

describeOnEachRuntime('CONNECT', (runtime) => {
  let fixture: RelayFixture
  before(async () => {
    fixture = await startFixture(runtime)
  })
  after(() => fixture.end())

  test('the upgrade request carries the bearer and the content type, and offers no extension', async () => {
    const { client, tunnel } = await fixture.open()
    const { headers, url, method, rawHeaders } = tunnel.request
    assert.equal(method, 'GET')
    assert.equal(url, '/upstreamproxy/ws')
    assert.equal(headers.authorization, `Bearer ${TOKEN}`)
    assert.equal(headers['content-type'], 'application/proto')
    assert.equal(headers['sec-websocket-extensions'], undefined)
    assert.equal(headers.host, `127.0.0.1:${fixture.gateway.port}`)
    const names = rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase())
    assert.equal(new Set(names).size, names.length, 'no field stands twice')
    client.reset()
  })

  test('nothing of the client head but the target reaches the gateway', async () => {
    const client = await fixture.connect()
    client.write(connectHead('h.example:443', 'User-Agent: curl/8', 'Proxy-Authorization: Basic b3RoZXI=', 'X-Own: 1'))
    const tunnel = await fixture.gateway.nextTunnel()
    assert.equal(tunnel.firstPayload?.toString('latin1'), canonicalHead('h.example:443'))
    client.reset()
  })

  test('head and ClientHello in one packet are one first message', async () => {
    const client = await fixture.connect()
    client.write(Buffer.concat([Buffer.from(connectHead('h.example:443')), CLIENT_HELLO]))
    const tunnel = await fixture.gateway.nextTunnel()
    assert.deepEqual(tunnel.firstPayload, Buffer.concat([Buffer.from(canonicalHead('h.example:443')), CLIENT_HELLO]))
    assert.equal(tunnel.messageSizes.length, 1)
    client.reset()
  })

  for (const early of [32_764, 65_536, 1_000_000]) {
    test(`${early} bytes behind the head arrive in messages of at most 32,768 bytes`, async () => {
      const bytes = Buffer.from(Array.from({ length: early }, (_, index) => (index * 13 + (index >> 8)) & 0xff))
      const client = await fixture.connect()
      client.write(Buffer.concat([Buffer.from(connectHead('h.example:443')), bytes]))
      const tunnel = await fixture.gateway.nextTunnel()
      tunnel.open()
      assert.ok((await tunnel.take(early)).equals(bytes))
      for (const size of tunnel.messageSizes) assert.ok(size <= 32_768, `${size}`)
      client.reset()
    })
  }

  test('bytes behind a refused head are read and thrown away, and the end is a FIN', async () => {
    const client = await fixture.connect()
    client.write(Buffer.concat([Buffer.from('GET / HTTP/1.1\r\nHost: h\r\n\r\n'), Buffer.alloc(4 * 1024 * 1024, 0x41)]))
    assert.equal(await client.ended, 'fin')
    assertRefusal(await client.takeOnlyAnswer(), 405, 'method-not-allowed')
  })

  test('an answer of the gateway other than 200 reaches the client unchanged', async () => {
    for (const answer of [
      'HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\nX-Own: 1\r\n\r\nnot here\n',
      'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="gateway"\r\n\r\n',
      'HTTP/1.0 502 Bad Gateway\r\n\r\n<html>',
      'HTTP/1.1 204 No Content\r\n\r\n',
    ]) {
      for (const code of [1000, 1011, undefined]) {
        const { client, tunnel } = await fixture.dial()
        for (const byte of Buffer.from(answer, 'latin1')) tunnel.send(Uint8Array.of(byte))
        tunnel.close(code)
        assert.equal((await client.rest()).toString('latin1'), answer)
        assert.equal(await client.ended, 'fin')
        client.endWriting()
      }
    }
  })

  test('after a refusal of the gateway nothing more goes up', async () => {
    const { client, tunnel } = await fixture.dial()
    const { received } = tunnel
    tunnel.send('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n')
    await client.reached(44)
    client.write(PIPELINED)
    await client.endWriting()
    tunnel.close(1000)
    await tunnel.closed
    assert.equal(tunnel.received, received)
    assert.equal(await client.ended, 'fin')
  })

  test('the opening of a tunnel may come in any pieces, with bytes of the tunnel behind it', async () => {
    const opening = Buffer.from('HTTP/1.1 200 OK\r\nX-Own: 1\r\n\r\nfirst bytes')
    for (let at = 0; at <= opening.length; at++) {
      const { client, tunnel } = await fixture.dial()
      tunnel.send(opening.subarray(0, at))
      tunnel.send(opening.subarray(at))
      assert.deepEqual(await client.take(opening.length), opening)
      client.reset()
      await tunnel.closed
    }
  })
})
