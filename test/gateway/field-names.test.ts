// Field names that an origin may read as others, `_` or another mark in place of `-`: none of them frames a request, or gets
// past the gateway where the field itself would not.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SeenRequest } from '../support/origin.js'
import { startGateway } from './fixture.js'
import { answerOf, ask } from './http2-client.js'
import { readAll } from './wire-client.js'

/** Not misspelt: `Host` and `TE` have no mark in them. */
const HOP_BY_HOP = ['Keep_Alive', 'Proxy_Authorization', 'proxy.connection', 'PROXY_AUTHENTICATE', 'HTTP2_Settings']

test('a hop-by-hop field in a loose spelling goes no further, nor does one that Connection names', async (context) => {
  const gateway = await startGateway(context)
  const { socket } = await gateway.connect()
  const fields = [...HOP_BY_HOP, 'X_Gone', 'X.Gone', 'X_Kept'].map((name) => `${name}: 1\r\n`).join('')
  socket.write(`GET / HTTP/1.1\r\nHost: api.example.com\r\nConnection: close, X-Gone\r\n${fields}\r\n`)
  assert.match((await readAll(socket)).toString('latin1'), /^HTTP\/1\.1 200 /)
  const names = gateway.origin.requests[0]?.rawHeaders.filter((_name, at) => at % 2 === 0) ?? []
  const others = ['host', 'authorization', 'connection', 'te']
  assert.deepEqual(
    names.filter((name) => !others.includes(name.toLowerCase())),
    ['X_Kept'],
  )
})

test('h2: a framing field in a loose spelling is answered 400 before the origin is dialled', async (context) => {
  const gateway = await startGateway(context)
  const { session } = await gateway.openHttp2()
  for (const name of ['transfer_encoding', 'content_length', 'transfer.encoding', 'content~length']) {
    const { status, text } = await ask(session, { ':method': 'POST', [name]: '0' }, 'hello')
    assert.deepEqual([status, JSON.parse(text).code], [400, 'bad-request'], name)
  }
  assert.equal(gateway.origin.connections, 0)
  session.close()
})

test('h2: trailers in a loose spelling are dropped where the field would be', async (context) => {
  const gateway = await startGateway(context, { origin: { protocol: 'http2' } })
  const { session } = await gateway.openHttp2()
  const stream = session.request({ ':path': '/pipe', ':method': 'POST' }, { waitForTrailers: true })
  const trailers = { 'x-sum': '1', content_length: '5', content_type: 'a/b', set_cookie: 'a=b', keep_alive: '1' }
  stream.on('wantTrailers', () => stream.sendTrailers(trailers))
  stream.end('hello')
  await answerOf(stream)
  const [seen] = gateway.origin.requests as [SeenRequest]
  assert.deepEqual(seen.trailers, ['x-sum', '1'])
  session.close()
})
