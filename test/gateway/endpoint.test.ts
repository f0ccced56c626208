// The endpoint itself: who is let in, what a CONNECT head may be, and how refusals look on the wire.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { createTempDirectory } from '../support/temp-dir.js'
import { CREDENTIALS, startGateway } from './fixture.js'
import {
  connectHead,
  encode,
  openWire,
  readAll,
  readAnswer,
  sendHead,
  type UpgradeRefusal,
  upgrade,
} from './wire-client.js'

const PROTO = { 'content-type': 'application/proto' }
const BEARER = { authorization: `Bearer ${CREDENTIALS.token}` }

async function refusedUpgrade(url: string, headers: Record<string, string>): Promise<UpgradeRefusal> {
  const result = await upgrade(url, headers)
  assert.ok(!(result instanceof WebSocket), 'the upgrade was accepted')
  return result
}

test('an upgrade without the right bearer is answered 401', async (context) => {
  const gateway = await startGateway(context)
  const wrong = [
    {},
    { authorization: 'Bearer wrong' },
    { authorization: `Bearer ${CREDENTIALS.token}x` },
    { authorization: `Basic ${CREDENTIALS.token}` },
    { authorization: CREDENTIALS.token },
  ]
  for (const headers of wrong) {
    const { status, headers: answered, body } = await refusedUpgrade(gateway.tunnelUrl, { ...PROTO, ...headers })
    assert.equal(status, 401)
    assert.equal(answered['www-authenticate'], 'Bearer')
    assert.equal(JSON.parse(body).code, 'unauthorized')
    assert.equal(JSON.parse(body).hop, 'gateway')
  }
})

test('an upgrade without the media type is answered 415', async (context) => {
  const gateway = await startGateway(context)
  for (const headers of [{}, { 'content-type': 'application/json' }]) {
    const { status, body } = await refusedUpgrade(gateway.tunnelUrl, { ...BEARER, ...headers })
    assert.equal(status, 415)
    assert.equal(JSON.parse(body).code, 'unsupported-media-type')
  }
})

test('an upgrade on another path is answered 404', async (context) => {
  const gateway = await startGateway(context)
  const { status } = await refusedUpgrade(`${gateway.url.replace('http', 'ws')}/other`, { ...BEARER, ...PROTO })
  assert.equal(status, 404)
})

test('one tunnel more than allowed is answered 503', async (context) => {
  const gateway = await startGateway(context, { options: { maxTunnels: 1 } })
  const first = await openWire(gateway.tunnelUrl, CREDENTIALS.token)
  const { status, body } = await refusedUpgrade(gateway.tunnelUrl, { ...BEARER, ...PROTO })
  assert.equal(status, 503)
  assert.equal(JSON.parse(body).retryable, true)
  first.destroy()
})

test('the CA certificate and health are there without a token', async (context) => {
  const gateway = await startGateway(context)
  const ca = await fetch(`${gateway.url}/upstreamproxy/ca-cert`)
  assert.equal(ca.headers.get('content-type'), 'application/x-pem-file')
  assert.equal(await ca.text(), gateway.caCertificatePem)
  const health = await fetch(`${gateway.url}/healthz`)
  assert.equal(await health.text(), 'ok')
  assert.equal((await fetch(`${gateway.url}/upstreamproxy/ws`)).status, 426)
  assert.equal((await fetch(`${gateway.url}/`)).status, 404)
  assert.equal((await fetch(`${gateway.url}/healthz`, { method: 'POST' })).status, 404)
})

test('a CONNECT without the credential of the same session is answered 407', async (context) => {
  const gateway = await startGateway(context)
  const heads = [
    'CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n',
    connectHead('api.example.com:443', { ...CREDENTIALS, token: 'other' }),
    connectHead('api.example.com:443', { ...CREDENTIALS, session: 'session-2' }),
    connectHead('api.example.com:443', CREDENTIALS).replace('Basic ', 'Bearer '),
    connectHead('api.example.com:443', CREDENTIALS).replace('Basic ', 'Basic *'),
  ]
  for (const head of heads) {
    const { status, text, stream } = await sendHead(gateway.tunnelUrl, CREDENTIALS.token, head)
    assert.equal(status, 407)
    assert.match(text, /\r\nProxy-Authenticate: Basic /)
    assert.equal(await stream.closeCode, 1000)
  }
  assert.equal(gateway.origin.connections, 0)
})

test('a malformed CONNECT head is answered with its status and closed normally', async (context) => {
  const gateway = await startGateway(context)
  const good = connectHead('api.example.com:443', CREDENTIALS)
  const cases: [string, number, string][] = [
    [good.replaceAll('api.example.com:443', 'api.example.com'), 400, 'bad-authority'],
    [good.replaceAll('api.example.com:443', '2130706433:443'), 400, 'bad-authority'],
    [good.replaceAll('api.example.com:443', 'user@api.example.com:443'), 400, 'bad-authority'],
    [good.replace('CONNECT', 'GET'), 405, 'method-not-allowed'],
    [good.replace('HTTP/1.1', 'HTTP/2.0'), 505, 'http-version-unsupported'],
    [good.replace('\r\nHost', '\nHost'), 400, 'bad-request'],
    [good.replace('\r\n\r\n', `\r\nX: ${'x'.repeat(16_384)}\r\n\r\n`), 431, 'head-too-large'],
    ['\x16\x03\x01\x02\x00\x01', 400, 'bad-request'],
  ]
  for (const [head, expected, code] of cases) {
    const { status, text, stream } = await sendHead(gateway.tunnelUrl, CREDENTIALS.token, head)
    const [fields = '', body = ''] = text.split('\r\n\r\n')
    assert.equal(status, expected, head)
    assert.equal(JSON.parse(body).code, code)
    assert.match(fields, /\r\nProxy-Status: ccr-upstream-gateway; error=http_request_error; details="[ -~]+"/)
    assert.match(fields, /\r\nConnection: close/)
    assert.match(fields, new RegExp(`\r\nContent-Length: ${body.length}(\r\n|$)`))
    assert.equal(await stream.closeCode, 1000)
  }
})

test('a CONNECT head that does not come is answered 408', async (context) => {
  const gateway = await startGateway(context, { options: { connectHeadTimeoutMs: 20 } })
  const { status } = await sendHead(gateway.tunnelUrl, CREDENTIALS.token, 'CONNECT api.example.com:443 HTTP/1.1\r\n')
  assert.equal(status, 408)
  const record = await gateway.nextRecord()
  assert.equal(record.mode, 'refused')
  assert.equal('code' in record && record.code, 'head-timeout')
})

test('a WebSocket that waits for longer than the gateway does is closed without a word', async (context) => {
  const gateway = await startGateway(context, { options: { connectWaitMs: 20 } })
  const stream = await openWire(gateway.tunnelUrl, CREDENTIALS.token)
  assert.equal((await readAll(stream)).length, 0)
  assert.equal(await stream.closeCode, 1000)
  assert.deepEqual(gateway.audit, [])
})

test('a CONNECT head that comes byte by byte, between empty chunks, opens a tunnel', async (context) => {
  const gateway = await startGateway(context)
  const stream = await openWire(gateway.tunnelUrl, CREDENTIALS.token)
  for (const byte of Buffer.from(connectHead('api.example.com:443', CREDENTIALS))) {
    stream.socket.send(encode(Buffer.alloc(0)))
    stream.socket.send(encode(Buffer.of(byte)))
  }
  const { status, text } = await readAnswer(stream)
  assert.equal(status, 200)
  assert.equal(text, 'HTTP/1.1 200 Connection Established\r\n\r\n')
  stream.destroy()
})

test('a message that is no chunk closes with 1007, a text message with 1003, a huge one with 1009', async (context) => {
  const gateway = await startGateway(context)
  const cases: [Buffer | string, number][] = [
    [Buffer.from('0a05aa', 'hex'), 1007],
    [Buffer.from('0f', 'hex'), 1007],
    ['text', 1003],
    [Buffer.alloc(4 * 1_048_576 + 1), 1009],
  ]
  for (const [message, code] of cases) {
    const { socket, closeCode } = await openWire(gateway.tunnelUrl, CREDENTIALS.token)
    socket.send(message)
    assert.equal(await closeCode, code)
  }
})

test('a refused CONNECT is one audit line with its code and status', async (context) => {
  const gateway = await startGateway(context, { config: { default: 'deny' } })
  await gateway.openTunnel('nobody.example.com')
  const record = await gateway.nextRecord()
  assert.deepEqual(
    { ...record, time: '', tunnel: '', ms: 0 },
    {
      time: '',
      session: CREDENTIALS.session,
      tunnel: '',
      ms: 0,
      mode: 'refused',
      host: 'nobody.example.com',
      port: 443,
      code: 'policy-denied',
      status: 403,
    },
  )
})

test('close cuts open tunnels and frees the port', async (context) => {
  const gateway = await startGateway(context)
  const { stream, status } = await gateway.openTunnel()
  assert.equal(status, 200)
  const ended = readAll(stream)
  await gateway.close()
  await ended
  await assert.rejects(fetch(`${gateway.url}/healthz`))
})

test('close with a grace lets a tunnel end by itself', async (context) => {
  const gateway = await startGateway(context)
  const { stream } = await gateway.openTunnel()
  let isClosed = false
  const closed = gateway.close({ graceMs: 60_000 }).then(() => {
    isClosed = true
  })
  await assert.rejects(fetch(`${gateway.url}/healthz`))
  assert.equal(isClosed, false)
  assert.equal(stream.socket.readyState, WebSocket.OPEN)
  stream.end()
  await once(stream.socket, 'close')
  await closed
})

test('a second close without a grace cuts what the first one waits for', async (context) => {
  const gateway = await startGateway(context)
  const { stream } = await gateway.openTunnel()
  const ended = readAll(stream)
  const closed = gateway.close({ graceMs: 60_000 })
  await gateway.close()
  await closed
  await ended
})

test('the audit is appended to a file that only its owner reads', async (context) => {
  const file = join(createTempDirectory(context, 'audit'), 'audit.jsonl')
  for (const host of ['one.example.com', 'two.example.com']) {
    const gateway = await startGateway(context, { config: { default: 'deny', audit: file } })
    await gateway.openTunnel(host)
    await gateway.close()
  }
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n')
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).host),
    ['one.example.com', 'two.example.com'],
  )
  assert.equal((await stat(file)).mode & 0o777, 0o600)
})
