// HTTP/2 on intercepted tunnels: to the client, to the origin, and each with HTTP/1.1 on the other side.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { constants } from 'node:http2'
import { test } from 'node:test'
import { assertSteadyListeners } from '../support/listener-census.js'
import type { SeenRequest } from '../support/origin.js'
import { HOST, requestOver, responseOf, SECRET, startGateway, textOf } from './fixture.js'
import { answerOf, ask } from './http2-client.js'

const AUTHORIZATION = `Bearer ${SECRET}`

function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === name)
}

for (const [protocol, origin] of [
  ['h2', 'http2'],
  ['http/1.1', 'http1'],
] as const) {
  test(`sets the header of the rule for an HTTP/2 client, ${protocol} to the origin`, async (context) => {
    const gateway = await startGateway(context, { origin: { protocol: origin } })
    const { session } = await gateway.openHttp2()
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
    const host = origin === 'http2' ? ':authority' : 'host'
    assert.deepEqual(valuesOf(rawHeaders, host), ['api.example.com:443'])
    const record = await gateway.nextRecord()
    assert.ok(record.mode === 'intercept' && record.status === 200 && record.error === undefined)
    assert.deepEqual(record.injected, ['authorization'])
    assert.equal(record.path, '/v1')
    session.close()
  })

  test(`100 streams at once are answered, ${protocol} to the origin`, async (context) => {
    const gateway = await startGateway(context, { origin: { protocol: origin } })
    const { session } = await gateway.openHttp2()
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        ask(session, { ':path': `/n${index}`, ':method': 'POST' }, 'x'.repeat(index)),
      ),
    )
    for (const [index, { status, text }] of answers.entries()) {
      assert.equal(status, 200)
      assert.equal(JSON.parse(text).bytes, index)
    }
    if (origin === 'http2') assert.equal(gateway.origin.connections, 1)
    session.close()
  })

  test(`a reset in the middle of an upload is no end of it, ${protocol} to the origin`, async (context) => {
    const gateway = await startGateway(context, { origin: { protocol: origin } })
    const { session } = await gateway.openHttp2()
    const stream = session.request({ ':path': '/upload', ':method': 'POST' })
    stream.on('error', () => {})
    stream.write(Buffer.alloc(200_000))
    while (gateway.origin.requests.length === 0) await new Promise((resolve) => setImmediate(resolve))
    stream.close(constants.NGHTTP2_CANCEL)
    const record = await gateway.nextRecord()
    assert.ok(record.mode === 'intercept' && record.error === 'client-closed')
    if (origin === 'http2') {
      const [seen] = gateway.origin.requests as [SeenRequest]
      while (!seen.isAborted) await new Promise((resolve) => setImmediate(resolve))
    }
    session.close()
  })

  test(`an answer that ${protocol} cuts off resets the stream, and only that`, async (context) => {
    const gateway = await startGateway(context, { origin: { protocol: origin } })
    const { session } = await gateway.openHttp2()
    for (const path of origin === 'http2' ? ['/abort/100000', '/cancel/100000'] : ['/abort/100000']) {
      const { status, resetCode } = await ask(session, { ':path': path })
      assert.equal(status, 200)
      assert.equal(resetCode, constants.NGHTTP2_INTERNAL_ERROR)
      const record = await gateway.nextRecord()
      assert.ok(record.mode === 'intercept' && record.error === 'upstream-aborted')
    }
    assert.equal((await ask(session, {})).status, 200)
    session.close()
  })

  test(`HEAD and 103, ${protocol} to the origin`, async (context) => {
    const gateway = await startGateway(context, { origin: { protocol: origin } })
    const { session } = await gateway.openHttp2()
    const head = await ask(session, { ':method': 'HEAD' })
    assert.equal(head.status, 200)
    assert.equal(head.text, '')
    const early = await ask(session, { ':path': '/early' })
    assert.equal(early.status, 200)
    assert.deepEqual(
      early.interim.map((headers) => [headers[':status'], headers.link]),
      [[103, '</style.css>; rel=preload']],
    )
    session.close()
  })

  test(`a silent origin, ${protocol} to the origin`, async (context) => {
    const gateway = await startGateway(context, {
      origin: { protocol: origin },
      options: { responseHeadTimeoutMs: 200 },
    })
    const { session } = await gateway.openHttp2()
    const silent = await ask(session, { ':path': '/silent' })
    assert.equal(silent.status, 504)
    assert.equal(JSON.parse(silent.text).code, 'response-timeout')
    assert.match(String(silent.headers['proxy-status']), /^ccr-upstream-gateway; error=http_response_timeout/)
    session.close()
  })
}

test('trailers go both ways, without what stands in for the credential', async (context) => {
  const gateway = await startGateway(context, { origin: { protocol: 'http2' } })
  const { session } = await gateway.openHttp2()
  const stream = session.request({ ':path': '/pipe', ':method': 'POST', te: 'trailers' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '1', authorization: 'Bearer mine' }))
  stream.end('hello')
  const { text, trailers, resetCode } = await answerOf(stream)
  assert.equal(text, 'hello')
  assert.equal(trailers['x-end'], 'reached')
  assert.equal(resetCode, 0)
  const [seen] = gateway.origin.requests as [SeenRequest]
  assert.deepEqual(seen.trailers, ['x-sum', '1'])
  assert.deepEqual(valuesOf(seen.rawHeaders, 'te'), ['trailers'])
  session.close()
})

test('an answer of trailers only stays one head that ends the stream', async (context) => {
  const gateway = await startGateway(context, { origin: { protocol: 'http2' } })
  const { session } = await gateway.openHttp2()
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
  const gateway = await startGateway(context, { origin: { protocol: 'http2' } })
  const { session } = await gateway.openHttp2()
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
  const gateway = await startGateway(context, { origin: { protocol: 'http2' } })
  const { session } = await gateway.openHttp2()
  assert.equal((await ask(session, { ':path': '/goaway' })).status, 200)
  assert.equal((await ask(session, {})).status, 200)
  assert.equal((await ask(session, {})).status, 200)
  assert.equal(gateway.origin.connections, 2)
  session.close()
})

test('a client that does not offer HTTP/2 is served HTTP/1.1', async (context) => {
  const gateway = await startGateway(context)
  const { socket } = await gateway.connect()
  assert.equal(socket.alpnProtocol, false)
  const request = requestOver(socket, {})
  request.end()
  assert.match(await textOf(await responseOf(request)), /"host":"api.example.com"/)
})

test('a refusal of the dial is an answer on every stream, and a later request tries again', async (context) => {
  const gateway = await startGateway(context, { origin: { protocol: 'http2' } })
  await gateway.origin.close()
  const { session } = await gateway.openHttp2()
  const answers = await Promise.all([ask(session, {}), ask(session, {}), ask(session, {})])
  for (const { status, text } of [...answers, await ask(session, {})]) {
    assert.equal(status, 502)
    assert.equal(JSON.parse(text).code, 'connection-refused')
  }
  session.close()
})

test('requests one after the other on one tunnel add no listeners, whatever either side speaks', async (context) => {
  for (const protocol of ['http1', 'both'] as const) {
    const gateway = await startGateway(context, { origin: { protocol } })
    const { session } = await gateway.openHttp2()
    await assertSteadyListeners(async () => assert.equal((await ask(session, {})).status, 200))
    const post = { ':method': 'POST' }
    await assertSteadyListeners(async () => assert.equal((await ask(session, post, 'a body')).status, 200))
    session.close()
    const client = await gateway.openHttp1()
    const request = `GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`
    await assertSteadyListeners(async () => assert.equal((await client.ask(request)).status, 200))
    assert.equal(gateway.origin.connections, 2)
  }
})
