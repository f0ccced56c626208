// HTTP/2 on intercepted tunnels: to the client, to the origin, and each with HTTP/1.1 on the other side.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { constants } from 'node:http2'
import { test } from 'node:test'
import type { SeenHttp2Request } from '../support/http2-origin.js'
import { openIntercepted, requestOver, responseOf, SECRET, startFixture, textOf } from './fixture.js'
import { answerOf, ask, openHttp2 } from './http2-client.js'

const AUTHORIZATION = `Bearer ${SECRET}`

function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === name)
}

for (const origin of ['h2', 'http/1.1'] as const) {
  test(`sets the header of the rule for an HTTP/2 client, ${origin} to the origin`, async (context) => {
    const fixture = await startFixture(context, { origin })
    const { session } = await openHttp2(fixture)
    const { status, text, resetCode } = await ask(session, {
      ':path': '/v1?q=1',
      authorization: 'Bearer mine',
      'x-mine': ['1', '2'],
      cookie: ['a=1', 'b=2'],
    })
    assert.equal(status, 200)
    assert.equal(resetCode, 0)
    const { rawHeaders } = JSON.parse(text)
    assert.deepEqual(valuesOf(rawHeaders, 'authorization'), [AUTHORIZATION])
    assert.deepEqual(valuesOf(rawHeaders, 'x-mine'), ['1', '2'])
    assert.deepEqual(valuesOf(rawHeaders, 'cookie'), ['a=1; b=2'])
    const host = origin === 'h2' ? ':authority' : 'host'
    assert.deepEqual(valuesOf(rawHeaders, host), ['api.example.com'])
    const record = await fixture.nextAudit()
    assert.ok(record.mode === 'intercept' && record.status === 200 && record.error === undefined)
    assert.deepEqual(record.injected, ['authorization'])
    assert.equal(record.path, '/v1')
    session.close()
  })

  test(`100 streams at once are answered, ${origin} to the origin`, async (context) => {
    const fixture = await startFixture(context, { origin })
    const { session } = await openHttp2(fixture)
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        ask(session, { ':path': `/n${index}`, ':method': 'POST' }, 'x'.repeat(index)),
      ),
    )
    for (const [index, { status, text }] of answers.entries()) {
      assert.equal(status, 200)
      assert.equal(JSON.parse(text).bytes, index)
    }
    if (origin === 'h2') assert.equal(fixture.origin.connections, 1)
    session.close()
  })

  test(`a reset in the middle of an upload is no end of it, ${origin} to the origin`, async (context) => {
    const fixture = await startFixture(context, { origin })
    const { session } = await openHttp2(fixture)
    const stream = session.request({ ':path': '/upload', ':method': 'POST' })
    stream.on('error', () => {})
    stream.write(Buffer.alloc(200_000))
    while (fixture.origin.requests.length === 0) await new Promise((resolve) => setImmediate(resolve))
    stream.close(constants.NGHTTP2_CANCEL)
    const record = await fixture.nextAudit()
    assert.ok(record.mode === 'intercept' && record.error === 'client-closed')
    if (origin === 'h2') {
      const [seen] = fixture.origin.requests as [SeenHttp2Request]
      while (!seen.isAborted) await new Promise((resolve) => setImmediate(resolve))
    }
    session.close()
  })

  test(`an answer that ${origin} cuts off resets the stream, and only that`, async (context) => {
    const fixture = await startFixture(context, { origin })
    const { session } = await openHttp2(fixture)
    for (const path of origin === 'h2' ? ['/abort/100000', '/cancel/100000'] : ['/abort/100000']) {
      const { status, resetCode } = await ask(session, { ':path': path })
      assert.equal(status, 200)
      assert.equal(resetCode, constants.NGHTTP2_INTERNAL_ERROR)
      const record = await fixture.nextAudit()
      assert.ok(record.mode === 'intercept' && record.error === 'upstream-aborted')
    }
    assert.equal((await ask(session, {})).status, 200)
    session.close()
  })

  test(`HEAD, 103 and a silent origin, ${origin} to the origin`, async (context) => {
    const fixture = await startFixture(context, { origin, gateway: { responseHeadTimeoutMs: 200 } })
    const { session } = await openHttp2(fixture)
    const head = await ask(session, { ':method': 'HEAD' })
    assert.equal(head.status, 200)
    assert.equal(head.text, '')
    const early = await ask(session, { ':path': '/early' })
    assert.equal(early.status, 200)
    assert.deepEqual(
      early.interim.map((headers) => [headers[':status'], headers.link]),
      [[103, '</style.css>; rel=preload']],
    )
    const silent = await ask(session, { ':path': '/silent' })
    assert.equal(silent.status, 504)
    assert.equal(JSON.parse(silent.text).code, 'response-timeout')
    assert.match(String(silent.headers['proxy-status']), /^ccr-upstream-gateway; error=http_response_timeout/)
    session.close()
  })
}

test('trailers go both ways, without what stands in for the credential', async (context) => {
  const fixture = await startFixture(context, { origin: 'h2' })
  const { session } = await openHttp2(fixture)
  const stream = session.request({ ':path': '/pipe', ':method': 'POST', te: 'trailers' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '1', authorization: 'Bearer mine' }))
  stream.end('hello')
  const { text, trailers, resetCode } = await answerOf(stream)
  assert.equal(text, 'hello')
  assert.equal(trailers['x-end'], 'reached')
  assert.equal(resetCode, 0)
  const [seen] = fixture.origin.requests as [SeenHttp2Request]
  assert.deepEqual(seen.trailers, ['x-sum', '1'])
  assert.deepEqual(valuesOf(seen.rawHeaders, 'te'), ['trailers'])
  session.close()
})

test('an answer of trailers only stays one head that ends the stream', async (context) => {
  const fixture = await startFixture(context, { origin: 'h2' })
  const { session } = await openHttp2(fixture)
  const stream = session.request({ ':path': '/only', ':method': 'POST' })
  const flagged = once(stream, 'response').then(([, flags]) => flags as number)
  stream.end('x')
  const { headers, resetCode } = await answerOf(stream)
  assert.equal(headers['grpc-status'], '5')
  assert.equal(resetCode, 0)
  assert.ok(((await flagged) & constants.NGHTTP2_FLAG_END_STREAM) !== 0)
  session.close()
})

test('an answer that comes before the body is read is whole, trailers included', async (context) => {
  const fixture = await startFixture(context, { origin: 'h2' })
  const { session } = await openHttp2(fixture)
  const stream = session.request({ ':path': '/refuse', ':method': 'POST' })
  stream.write(Buffer.alloc(2_000_000))
  const { status, text, trailers, resetCode } = await answerOf(stream)
  assert.equal(status, 413)
  assert.equal(text, 'too large')
  assert.equal(trailers['x-end'], 'refused')
  assert.equal(resetCode, constants.NGHTTP2_NO_ERROR)
  session.close()
})

test('a request after the origin closed its connection gets a new one', async (context) => {
  const fixture = await startFixture(context, { origin: 'h2' })
  const { session } = await openHttp2(fixture)
  assert.equal((await ask(session, { ':path': '/goaway' })).status, 200)
  assert.equal((await ask(session, {})).status, 200)
  assert.equal((await ask(session, {})).status, 200)
  assert.equal(fixture.origin.connections, 2)
  session.close()
})

test('a client that does not offer HTTP/2 is served HTTP/1.1', async (context) => {
  const fixture = await startFixture(context)
  const { socket } = await openIntercepted(fixture)
  assert.equal(socket.alpnProtocol, false)
  const request = requestOver(socket, {})
  request.end()
  assert.match(await textOf(await responseOf(request)), /"host":"api.example.com"/)
})

test('a refusal of the dial is an answer on every stream, and a later request tries again', async (context) => {
  const fixture = await startFixture(context, { origin: 'h2' })
  await fixture.origin.close()
  const { session } = await openHttp2(fixture)
  const answers = await Promise.all([ask(session, {}), ask(session, {}), ask(session, {})])
  for (const { status, text } of [...answers, await ask(session, {})]) {
    assert.equal(status, 502)
    assert.equal(JSON.parse(text).code, 'connection-refused')
  }
  session.close()
})
