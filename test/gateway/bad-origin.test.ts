// Origins that break HTTP or TLS, or give back what they were sent: none of it reaches the client.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { TlsOptions } from 'node:tls'
import { type RawConnection, startOrigin } from '../support/origin.js'
import { CREDENTIALS, SECRET, startGateway } from './fixture.js'
import { ask } from './http2-client.js'
import { readAll } from './wire-client.js'

const REQUEST = 'GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n'

/** An origin that answers whatever comes with bytes that a test chooses. */
async function startStage(context: TestContext, tls: TlsOptions = {}) {
  let answer = ''
  const handler = (connection: RawConnection) => connection.socket.on('data', () => connection.write(answer))
  const origin = await startOrigin(context, { protocol: 'raw', handler, tls })
  const gateway = await startGateway(context, { origin })
  const askWith = async (bytes: string, request = REQUEST): Promise<string> => {
    answer = bytes
    const { socket } = await gateway.connect()
    socket.write(request)
    return (await readAll(socket)).toString('latin1')
  }
  return { gateway, origin, askWith }
}

const OK = 'HTTP/1.1 200 OK\r\n'
const MALFORMED: readonly (readonly [title: string, answer: string])[] = [
  ['two lengths', `${OK}Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc`],
  ['two equal lengths', `${OK}Content-Length: 2\r\nContent-Length: 2\r\n\r\nab`],
  ['a list of lengths', `${OK}Content-Length: 2, 2\r\n\r\nab`],
  ['a length and chunks', `${OK}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['an unknown coding', `${OK}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
  ['another coding before chunked', `${OK}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
  ['chunked twice', `${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['a folded field', `${OK}A: b\r\n c\r\nContent-Length: 0\r\n\r\n`],
  ['a blank before the colon', `${OK}Content-Length : 0\r\n\r\n`],
  ['bare CR in a field', `${OK}A: b\rSet-Cookie: x=y\r\nContent-Length: 0\r\n\r\n`],
  ['NUL in a field', `${OK}A: b\0c\r\nContent-Length: 0\r\n\r\n`],
  [
    'a 101 that was not asked for',
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  ],
  ['a 101 that does not say to what', 'HTTP/1.1 101 Switching Protocols\r\n\r\n'],
  ['a flood of interim answers', `${'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(1_000)}${OK}Content-Length: 0\r\n\r\n`],
  ['no HTTP', 'SSH-2.0-OpenSSH_9.6\r\n'],
  ['a status of two digits', 'HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n'],
]

test('a malformed answer is a 502 that says so, and nothing of it is passed on', async (context) => {
  const { origin, askWith } = await startStage(context)
  for (const [title, bytes] of MALFORMED) {
    const answer = await askWith(bytes)
    const final = answer.slice(answer.lastIndexOf('HTTP/1.1 '))
    assert.match(final, /^HTTP\/1\.1 502 /, `${title}: ${answer.slice(0, 300)}`)
    assert.match(final, /"code":"response-invalid"/, title)
    assert.match(final, /\r\nProxy-Status: ccr-upstream-gateway; error=http_protocol_error/, title)
    assert.ok(!answer.includes(SECRET), title)
  }
  assert.equal(origin.opened.length, MALFORMED.length)
})

test('an answer with a head without end is refused once it is above the limits, and one of 200 KiB is not', async (context) => {
  const { askWith } = await startStage(context)
  const long = `A: ${'b'.repeat(1_000)}\r\n`
  for (const fields of [long.repeat(300), `${'A: b\r\n'.repeat(1_001)}Content-Length: 0\r\n\r\n`]) {
    const answer = await askWith(OK + fields)
    assert.match(answer, /^HTTP\/1\.1 502 [\s\S]*"code":"response-head-too-large"/)
  }
  assert.match(
    await askWith(`${OK}${long.repeat(200)}Content-Length: 2\r\n\r\nok`),
    /^HTTP\/1\.1 200 [\s\S]*\r\n\r\nok$/,
  )
})

test('bytes behind an answer are not the answer to the next request', async (context) => {
  const { askWith } = await startStage(context)
  const stray = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray'
  const second = 'GET /second HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n'
  const answer = await askWith(
    `${OK}Content-Length: 5\r\n\r\nfirst${stray}`,
    REQUEST.replace('Connection: close\r\n', '') + second,
  )
  assert.match(answer, /\r\n\r\nfirst/)
  assert.ok(!answer.includes('stray'))
})

test('200 with Upgrade, and answers to HTTP/2 clients, are without the fields of one connection', async (context) => {
  const { gateway, askWith } = await startStage(context)
  const bytes =
    `${OK}Connection: close, X-Gone\r\nX-Gone: 1\r\nUpgrade: h2c\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\n` +
    'X-Kept: 1\r\nContent-Length: 2\r\n\r\nok'
  const answer = await askWith(bytes)
  assert.match(answer, /X-Kept: 1/)
  assert.ok(!/X-Gone|Upgrade|Keep-Alive|Proxy-Connection/i.test(answer.replace('Connection: close', '')))
  const { session } = await gateway.openHttp2()
  const { status, headers, text } = await ask(session, {})
  assert.equal(status, 200)
  assert.equal(text, 'ok')
  assert.equal(headers['x-kept'], '1')
  assert.equal(headers['x-gone'] ?? headers.upgrade ?? headers.connection, undefined)
  session.close()
})

test('a field that may stand there once and came twice does not break the answer to an HTTP/2 client', async (context) => {
  const { gateway, askWith } = await startStage(context)
  const twice = 'X-Content-Type-Options: nosniff\r\nX-Content-Type-Options: nosniff\r\nETag: "a"\r\nETag: "b"\r\n'
  await askWith(`${OK}${twice}Vary: a\r\nVary: b\r\nContent-Length: 2\r\n\r\nok`)
  const { session } = await gateway.openHttp2()
  const { status, headers } = await ask(session, {})
  assert.equal(status, 200)
  assert.equal(headers['x-content-type-options'], 'nosniff')
  assert.equal(headers.etag, '"a"')
  assert.equal(headers.vary, 'a, b')
  session.close()
})

function spellingsOf(secret: string): string[] {
  const bytes = Buffer.from(secret)
  return [
    secret,
    `Bearer ${secret}`,
    encodeURIComponent(secret),
    encodeURIComponent(secret).toLowerCase(),
    Array.from(bytes, (byte) => `%${byte.toString(16)}`).join(''),
    ...[bytes, Buffer.from(`Bearer ${secret}`), Buffer.from(`user:${secret}`), Buffer.from(`ab${secret}c`)].flatMap(
      (text) => [text.toString('base64'), text.toString('base64url')],
    ),
  ]
}

test('an echoed credential is redacted in every head and in trailers, in each of its spellings', async (context) => {
  const { gateway, askWith } = await startStage(context)
  const core = SECRET.slice(0, 8)
  for (const spelling of spellingsOf(SECRET)) {
    const bytes =
      `HTTP/1.1 103 Early Hints\r\nLink: <https://x/?k=${spelling}>\r\n\r\n` +
      `HTTP/1.1 302 ${spelling}\r\nLocation: https://x/?key=${spelling}&x=1\r\nX-Echo: ${spelling}\r\n` +
      `Set-Cookie: a=${spelling}; Path=/\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n` +
      `0\r\nX-End: ${spelling}\r\n\r\n`
    const answer = await askWith(bytes)
    assert.match(answer, /^HTTP\/1\.1 103 [\s\S]*HTTP\/1\.1 302 /)
    assert.ok(!answer.includes(spelling), `${spelling}: ${answer}`)
    assert.ok(!answer.includes(core), answer)
    assert.equal(answer.match(/\[redacted\]/g)?.length, 6, answer)
    assert.match(answer, /Path=\//)
    const { session } = await gateway.openHttp2()
    const { headers, interim, trailers } = await ask(session, {})
    const everything = JSON.stringify([headers, interim, trailers])
    assert.ok(!everything.includes(spelling) && !everything.includes(core), everything)
    assert.equal(everything.match(/\[redacted\]/g)?.length, 5, everything)
    session.destroy()
  }
})

test("what is not the credential stays as it is, and the gateway's own errors never hold it", async (context) => {
  const { gateway, askWith } = await startStage(context)
  const answer = await askWith(
    `${OK}X-A: Bearer\r\nX-B: s3cret\r\nX-C: ${'%2f'.repeat(20)}\r\nContent-Length: 0\r\n\r\n`,
  )
  assert.ok(!answer.includes('[redacted]'))
  await askWith('garbage')
  assert.ok(!JSON.stringify(gateway.audit).includes(SECRET))
  assert.ok(!JSON.stringify(gateway.audit).includes(CREDENTIALS.token))
})

test('TLS below 1.2 is a 502, and no request is sent', async (context) => {
  for (const version of ['TLSv1', 'TLSv1.1'] as const) {
    const options = { minVersion: 'TLSv1', maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0' } as const
    const { origin, askWith } = await startStage(context, options)
    const answer = await askWith('')
    assert.match(answer, /^HTTP\/1\.1 502 [\s\S]*error=tls_protocol_error/)
    assert.deepEqual(origin.opened, [])
  }
})

test('a 205 reaches an HTTP/2 client without content, whatever the origin sends with it', async (context) => {
  const { gateway, askWith } = await startStage(context)
  for (const rest of ['Content-Length: 5\r\n\r\nhello', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n']) {
    await askWith(`HTTP/1.1 205 Reset Content\r\n${rest}`)
    const { session } = await gateway.openHttp2()
    const { status, text, resetCode } = await ask(session, {})
    assert.deepEqual([status, text, resetCode], [205, '', 0])
    session.close()
  }
})
