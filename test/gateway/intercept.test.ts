// Intercepted tunnels: injection, and everything that must keep a credential from going elsewhere.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import type { SeenRequest } from '../support/origin.js'
import { originCa } from '../support/origin.js'
import { CREDENTIALS, requestOver, responseOf, SECRET, startGateway, type TestGateway, textOf } from './fixture.js'
import { connectHead, openWire, readAll, readAnswer, startTls } from './wire-client.js'

const AUTHORIZATION = `Bearer ${SECRET}`
const HOST = 'Host: api.example.com\r\n'

/** Sends raw bytes over a new intercepted connection and reads to its end. */
async function exchange(gateway: TestGateway, raw: string): Promise<string> {
  const { socket } = await gateway.connect()
  socket.write(raw, 'latin1')
  return (await readAll(socket)).toString('latin1')
}

function valuesOf({ rawHeaders }: SeenRequest, name: string): string[] {
  return rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name)
}

/** Two ends of one pipe. */
function duplexPair(): [Duplex, Duplex] {
  const ends: Duplex[] = [0, 1].map(
    (own) =>
      new Duplex({
        read() {},
        write(bytes, _encoding, callback) {
          ends[1 - own]?.push(bytes)
          callback()
        },
        final(callback) {
          ends[1 - own]?.push(null)
          callback()
        },
      }),
  )
  return ends as [Duplex, Duplex]
}

/** One GET over an open connection; `Connection: keep-alive` and no agent, so that it stays open. */
async function get(socket: TLSSocket, path: string, headers: Record<string, string | string[]> = {}) {
  const request = requestOver(socket, { path, headers: { connection: 'keep-alive', ...headers } })
  request.end()
  const response = await responseOf(request)
  return { status: response.statusCode, headers: response.headers, text: await textOf(response) }
}

test('sets the header of the rule, forwards the rest and audits the request', async (context) => {
  const gateway = await startGateway(context)
  const { socket } = await gateway.connect()
  const { status, headers, text } = await get(socket, `/v1/models?key=${SECRET}`, { 'x-mine': 'kept' })
  const seen = JSON.parse(text)
  assert.equal(status, 200)
  assert.equal(seen.path, `/v1/models?key=${SECRET}`)
  assert.equal(seen.headers.authorization, AUTHORIZATION)
  assert.equal(seen.headers['x-mine'], 'kept')
  assert.equal(seen.headers.host, 'api.example.com')
  socket.end()
  const record = await gateway.nextRecord()
  assert.deepEqual(
    { ...record, time: '', tunnel: '', ms: 0 },
    {
      time: '',
      session: CREDENTIALS.session,
      mode: 'intercept',
      tunnel: '',
      method: 'GET',
      host: 'api.example.com',
      port: 443,
      path: '/v1/models',
      status: 200,
      requestBytes: 0,
      responseBytes: Number(headers['content-length'] ?? Buffer.byteLength(text)),
      ms: 0,
      injected: ['authorization'],
      rule: 'api.example.com[0]',
    },
  )
  assert.match(record.time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  assert.match(record.tunnel, /^[0-9a-f-]{36}$/)
  const line = JSON.stringify(gateway.audit)
  for (const form of [SECRET, Buffer.from(SECRET).toString('base64'), encodeURIComponent(SECRET)]) {
    assert.ok(!line.includes(form), 'the audit holds the secret')
    assert.ok(!line.includes(CREDENTIALS.token), 'the audit holds the token')
  }
})

test('works when the TLS hello comes in the same message as the CONNECT head', async (context) => {
  const gateway = await startGateway(context)
  const stream = await openWire(gateway.tunnelUrl, CREDENTIALS.token)
  const [near, far] = duplexPair()
  const tls = startTls(near, gateway.caCertificatePem, 'api.example.com')
  const [hello] = (await once(far, 'data')) as [Buffer]
  far.pause()
  stream.write(Buffer.concat([Buffer.from(connectHead('api.example.com:443', CREDENTIALS)), hello]))
  const { status } = await readAnswer(stream)
  assert.equal(status, 200)
  far.pipe(stream)
  stream.pipe(far)
  assert.equal((await get(await tls, '/')).status, 200)
})

test("removes the client's own copies of an injected header, however spelt", async (context) => {
  const gateway = await startGateway(context, {
    rules: { 'api.example.com': [{ transform: [{ headers: { 'X-Api-Key': `\${env:API_KEY}` } }] }] },
  })
  const raw = `GET / HTTP/1.1\r\n${HOST}x-api-key: mine\r\nX-API-KEY: mine\r\nx_api_key: mine\r\nConnection: close\r\n\r\n`
  const answer = await exchange(gateway, raw)
  assert.match(answer, /^HTTP\/1\.1 200 /)
  const [seen] = gateway.origin.requests as [SeenRequest]
  assert.deepEqual(valuesOf(seen, 'x-api-key'), [SECRET])
  assert.deepEqual(valuesOf(seen, 'x_api_key'), [])
})

test('removes hop-by-hop fields before injecting, also those that Connection names', async (context) => {
  const gateway = await startGateway(context)
  const raw =
    `GET / HTTP/1.1\r\n${HOST}Connection: close, authorization, X-Gone\r\nX-Gone: 1\r\nKeep-Alive: timeout=5\r\n` +
    `TE: trailers\r\nTrailer: x\r\nUpgrade: h2c\r\nProxy-Connection: close\r\n` +
    `Proxy-Authorization: Basic ${CREDENTIALS.token}\r\nX-Kept: 1\r\n\r\n`
  assert.match(await exchange(gateway, raw), /^HTTP\/1\.1 200 /)
  const [seen] = gateway.origin.requests as [SeenRequest]
  assert.deepEqual(valuesOf(seen, 'authorization'), [AUTHORIZATION])
  assert.deepEqual(valuesOf(seen, 'x-kept'), ['1'])
  for (const name of ['x-gone', 'keep-alive', 'trailer', 'upgrade', 'proxy-connection', 'proxy-authorization']) {
    assert.deepEqual(valuesOf(seen, name), [], name)
  }
  // Not the client's: the gateway takes trailers too, and says so for its own connection.
  assert.deepEqual([valuesOf(seen, 'te'), valuesOf(seen, 'connection')], [['trailers'], ['TE']])
  assert.ok(!JSON.stringify(gateway.origin.requests).includes(CREDENTIALS.token))
})

test('keeps a field named __proto__ and one sent twice', async (context) => {
  const gateway = await startGateway(context)
  await exchange(gateway, `GET / HTTP/1.1\r\n${HOST}__proto__: x\r\nA: 1\r\na: 2\r\nConnection: close\r\n\r\n`)
  const [seen] = gateway.origin.requests as [SeenRequest]
  assert.deepEqual(valuesOf(seen, '__proto__'), ['x'])
  assert.deepEqual(valuesOf(seen, 'a'), ['1', '2'])
})

test('takes the authority in any case, with a trailing dot and with the default port, and hands it on as it came', async (context) => {
  const gateway = await startGateway(context)
  for (const host of ['API.example.com', 'api.example.com.', 'api.example.com:443']) {
    const answer = await exchange(gateway, `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
    assert.match(answer, /^HTTP\/1\.1 200 /, host)
  }
  assert.deepEqual(
    gateway.origin.requests.flatMap((seen) => valuesOf(seen, 'host')),
    ['API.example.com', 'api.example.com.', 'api.example.com:443'],
  )
})

test('answers 421 when Host is another than the CONNECT, and sends nothing upstream', async (context) => {
  const gateway = await startGateway(context)
  const others = ['other.example.com', 'api.example.com:8443']
  for (const host of others) {
    const answer = await exchange(gateway, `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    assert.match(answer, /^HTTP\/1\.1 421 /, host)
    assert.match(answer, /"code":"misdirected"/)
    const record = await gateway.nextRecord()
    assert.equal('error' in record && record.error, 'misdirected')
  }
  assert.equal(gateway.origin.connections, 0)
})

test('checks the second request of a connection too', async (context) => {
  const gateway = await startGateway(context)
  const { socket } = await gateway.connect()
  assert.equal((await get(socket, '/first')).status, 200)
  const second = await get(socket, '/second', { host: 'other.example.com' })
  assert.equal(second.status, 421)
  assert.deepEqual(
    gateway.origin.requests.map(({ path }) => path),
    ['/first'],
  )
})

test('answers 400 to a missing or double Host and to an absolute target', async (context) => {
  const gateway = await startGateway(context)
  const heads = [
    'GET / HTTP/1.1\r\n\r\n',
    'GET / HTTP/1.0\r\n\r\n',
    `GET / HTTP/1.1\r\n${HOST}${HOST}\r\n`,
    `GET https://evil.example/ HTTP/1.1\r\n${HOST}\r\n`,
    `GET https://api.example.com/ HTTP/1.1\r\n${HOST}\r\n`,
  ]
  for (const head of heads) assert.match(await exchange(gateway, head), /^HTTP\/1\.1 400 /, head)
  assert.equal(gateway.origin.connections, 0)
})

test('answers 405 to TRACE, TRACK and CONNECT', async (context) => {
  const gateway = await startGateway(context)
  for (const line of ['TRACE / HTTP/1.1', 'TRACK / HTTP/1.1', 'CONNECT api.example.com:443 HTTP/1.1']) {
    assert.match(await exchange(gateway, `${line}\r\n${HOST}\r\n`), /^HTTP\/1\.1 405 /, line)
  }
  assert.equal(gateway.origin.connections, 0)
})

test('answers 400 to what a smuggler sends, and 431 to a head that is too large', async (context) => {
  const gateway = await startGateway(context)
  const heads: [string, number][] = [
    [`POST / HTTP/1.1\r\n${HOST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
    [`POST / HTTP/1.1\r\n${HOST}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`, 400],
    [`POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`, 400],
    [`GET / HTTP/1.1\r\n${HOST}A : b\r\n\r\n`, 400],
    [`GET / HTTP/1.1\r\n${HOST}A: b\r\n c\r\n\r\n`, 400],
    [`GET / HTTP/1.1\r\n${HOST}A: ${'x'.repeat(33_000)}\r\n\r\n`, 431],
  ]
  for (const [head, status] of heads) {
    assert.match(await exchange(gateway, head), new RegExp(`^HTTP/1\\.1 ${status} `), head.slice(0, 80))
  }
  assert.deepEqual(gateway.origin.requests, [])
})

test('a head of thousands of fields cannot hide the framing of a body', async (context) => {
  const gateway = await startGateway(context)
  const filler = 'a:\r\n'.repeat(3_000)
  const raw = `POST /upload HTTP/1.1\r\n${HOST}Connection: close\r\n${filler}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`
  const answer = await exchange(gateway, raw)
  assert.match(answer, /"bytes":5/)
  assert.equal(gateway.origin.requests.length, 1)
})

test('fails the handshake when SNI is another name than the CONNECT, and dials nothing', async (context) => {
  const gateway = await startGateway(context)
  const { stream } = await gateway.openTunnel()
  await assert.rejects(startTls(stream, gateway.caCertificatePem, 'other.example.com'))
  assert.equal(gateway.origin.connections, 0)
  const record = await gateway.nextRecord()
  assert.equal('code' in record && record.code, 'sni-mismatch')
})

test('without SNI the certificate is the one for the CONNECT', async (context) => {
  const gateway = await startGateway(context, {
    rules: { '127.0.0.1': [] },
  })
  const { stream } = await gateway.openTunnel('127.0.0.1')
  const socket = await startTls(stream, gateway.caCertificatePem, undefined)
  assert.equal(socket.getPeerCertificate().subjectaltname, 'IP Address:127.0.0.1')
  assert.equal((await get(socket, '/', { host: '127.0.0.1' })).status, 200)
})

test('a client that does not trust the CA is one audit line', async (context) => {
  const gateway = await startGateway(context)
  const { stream } = await gateway.openTunnel()
  await assert.rejects(startTls(stream, originCa.rootPem, 'api.example.com'))
  const record = await gateway.nextRecord()
  assert.equal('code' in record && record.code, 'client-tls-failed')
})

test('an origin with an unknown CA, or the wrong name, is a 502 and never sees the credential', async (context) => {
  const cases: [host: string, upstream: Record<string, unknown>][] = [
    ['api.example.com', { caFiles: [] }],
    ['unnamed.example.com', {}],
  ]
  for (const [host, upstream] of cases) {
    const gateway = await startGateway(context, {
      upstream,
      rules: { [host]: [{ transform: [{ headers: { authorization: `Bearer \${env:API_KEY}` } }] }] },
    })
    const { socket } = await gateway.connect(host)
    const { status, headers, text } = await get(socket, '/', { host })
    assert.equal(status, 502)
    assert.equal(JSON.parse(text).code, 'certificate-rejected')
    assert.match(String(headers['proxy-status']), /error=tls_certificate_error/)
    assert.equal(gateway.origin.connections, 1)
    assert.deepEqual(gateway.origin.requests, [])
  }
})

test('an origin that is down is a 502, one that is silent a 504', async (context) => {
  const gateway = await startGateway(context, { options: { responseHeadTimeoutMs: 50 } })
  const { socket } = await gateway.connect()
  const silent = await get(socket, '/silent')
  assert.equal(silent.status, 504)
  assert.equal(JSON.parse(silent.text).code, 'response-timeout')
  await gateway.origin.close()
  const { socket: second } = await gateway.connect()
  const down = await get(second, '/')
  assert.equal(down.status, 502)
  assert.equal(JSON.parse(down.text).code, 'connection-refused')
})

test('a body that the origin cuts off is no clean end for the client', async (context) => {
  const gateway = await startGateway(context)
  for (const path of ['/abort/100000', '/abort/2']) {
    const { socket, stream } = await gateway.connect()
    const request = requestOver(socket, { path })
    request.end()
    const response = await responseOf(request)
    await assert.rejects(textOf(response), { code: 'ECONNRESET' })
    assert.equal(await stream.closeCode, 1011)
    const record = await gateway.nextRecord()
    assert.equal('error' in record && record.error, 'upstream-aborted')
  }
})

test('HEAD, 204 and 304 have no body and leave the connection usable', async (context) => {
  const gateway = await startGateway(context)
  const { socket } = await gateway.connect()
  const request = requestOver(socket, { method: 'HEAD', path: '/bytes/1000', headers: { connection: 'keep-alive' } })
  request.end()
  const response = await responseOf(request)
  assert.equal(response.headers['content-length'], '1000')
  assert.equal(await textOf(response), '')
  for (const status of [204, 304]) {
    const empty = await get(socket, `/status/${status}`)
    assert.equal(empty.status, status)
    assert.equal(empty.text, '')
    assert.equal(empty.headers['transfer-encoding'], undefined)
  }
  assert.equal(gateway.origin.connections, 1)
})

test('keeps Content-Length where the origin has it and chunks where it does not', async (context) => {
  const gateway = await startGateway(context)
  const { socket } = await gateway.connect()
  const fixed = await get(socket, '/bytes/100')
  assert.equal(fixed.headers['content-length'], '100')
  assert.equal(fixed.headers['transfer-encoding'], undefined)
  const chunked = await get(socket, '/chunked/100')
  assert.equal(chunked.headers['content-length'], undefined)
  assert.equal(chunked.headers['transfer-encoding'], 'chunked')
})

test('a POST without a body says so upstream', async (context) => {
  const gateway = await startGateway(context)
  await exchange(gateway, `POST / HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`)
  const [seen] = gateway.origin.requests as [SeenRequest]
  assert.deepEqual(valuesOf(seen, 'content-length'), ['0'])
  assert.deepEqual(valuesOf(seen, 'transfer-encoding'), [])
})

test('Expect: 100-continue is answered by the origin: with 100, or with a final status', async (context) => {
  const gateway = await startGateway(context)
  const { socket } = await gateway.connect()
  const headers = { expect: '100-continue', 'content-length': '5' }
  const request = requestOver(socket, { method: 'POST', path: '/expect', headers })
  request.flushHeaders()
  await new Promise((resolve) => request.once('continue', resolve))
  request.end('hello')
  assert.match(await textOf(await responseOf(request)), /"bytes":5/)
  const { socket: second } = await gateway.connect()
  const refused = requestOver(second, { method: 'POST', path: '/other', headers })
  refused.flushHeaders()
  assert.equal((await responseOf(refused)).statusCode, 417)
  refused.destroy()
})

test('the head of an answer goes to the client before there is a body', async (context) => {
  const gateway = await startGateway(context)
  const { socket } = await gateway.connect()
  const request = requestOver(socket, { path: '/head' })
  request.end()
  assert.equal((await responseOf(request)).statusCode, 200)
  request.destroy()
  const record = await gateway.nextRecord()
  assert.equal('error' in record && record.error, 'client-closed')
})

test('an interim answer of the origin does not disturb the final one', async (context) => {
  const gateway = await startGateway(context)
  const { socket } = await gateway.connect()
  assert.equal((await get(socket, '/early')).status, 200)
})

test('a GET is sent again when the kept connection turns out to be closed', async (context) => {
  const gateway = await startGateway(context)
  const { socket } = await gateway.connect()
  assert.equal((await get(socket, '/')).status, 200)
  assert.equal((await get(socket, '/stale')).status, 200)
  assert.equal(gateway.origin.connections, 2)
  assert.equal(gateway.origin.requests.length, 3)
})

test('a POST is not sent again', async (context) => {
  const gateway = await startGateway(context)
  const { socket } = await gateway.connect()
  assert.equal((await get(socket, '/')).status, 200)
  const request = requestOver(socket, { method: 'POST', path: '/stale' })
  request.end('once')
  const response = await responseOf(request)
  assert.equal(response.statusCode, 502)
  assert.equal(JSON.parse(await textOf(response)).code, 'connection-closed')
  assert.equal(gateway.origin.requests.length, 2)
})

test('two tunnels never share a connection to the origin', async (context) => {
  const gateway = await startGateway(context)
  const first = await gateway.connect()
  await get(first.socket, '/')
  await get(first.socket, '/')
  assert.equal(gateway.origin.connections, 1)
  const second = await gateway.connect()
  await get(second.socket, '/')
  assert.equal(gateway.origin.connections, 2)
})

test('pipelined requests are answered in order', async (context) => {
  const gateway = await startGateway(context)
  const raw = `GET /one HTTP/1.1\r\n${HOST}\r\nGET /two HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`
  const answer = await exchange(gateway, raw)
  assert.ok(answer.indexOf('"path":"/one"') > 0)
  assert.ok(answer.indexOf('"path":"/two"') > answer.indexOf('"path":"/one"'))
})

test('the exact host wins over a suffix, the longest suffix over a shorter one, the first matching rule over the rest', async (context) => {
  const rule = (value: string, match = {}) => ({ match, transform: [{ headers: { 'x-rule': value } }] })
  const gateway = await startGateway(context, {
    rules: {
      '*.com': [rule('short')],
      '*.example.com': [rule('suffix')],
      'api.example.com': [
        rule('post', { path: '/v1/', method: 'post' }),
        rule('v1', { path: '/v1' }),
        rule('rest', { method: ['GET', 'HEAD'] }),
      ],
    },
  })
  const ruleFor = async (host: string, method: string, path: string) => {
    const { socket } = await gateway.connect(host)
    const request = requestOver(socket, { method, path, headers: { host, 'x-rule': 'mine' } })
    request.end()
    return JSON.parse(await textOf(await responseOf(request))).headers['x-rule']
  }
  assert.equal(await ruleFor('other.example.com', 'GET', '/'), 'suffix')
  assert.equal(await ruleFor('api.example.com', 'POST', '/v1/x'), 'post')
  assert.equal(await ruleFor('api.example.com', 'GET', '/v1/x'), 'v1')
  assert.equal(await ruleFor('api.example.com', 'GET', '/v1?x'), 'v1')
  assert.equal(await ruleFor('api.example.com', 'GET', '/v10'), 'rest')
  assert.equal(await ruleFor('api.example.com', 'DELETE', '/v10'), 'mine')
})
