// Clients that are slow on purpose, and what belongs to one session only.

import assert from 'node:assert/strict'
import type { Duplex } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { CREDENTIALS, requestOver, responseOf, startGateway, type TestGateway, textOf } from './fixture.js'
import { ask } from './http2-client.js'
import { readAll } from './wire-client.js'

const HOST = 'Host: api.example.com\r\n'

/** For what has to come on a busy machine too. */
const LONG = { handshakeTimeoutMs: 60_000, requestHeadTimeoutMs: 60_000 }

function startWithShortHeads(context: TestContext): Promise<TestGateway> {
  return startGateway(context, { options: { interceptLimits: { ...LONG, requestHeadTimeoutMs: 300 } } })
}

/** Goes on with a head that never ends; all that is answered until it is cut off. */
async function readWhileDribbling(socket: Duplex): Promise<string> {
  const dribble = setInterval(() => socket.write('x'), 50).unref()
  const answer = await readAll(socket)
  clearInterval(dribble)
  return answer.toString()
}

/** Resolves when a head that was begun by now has had its time. */
async function headLimitPasses(gateway: TestGateway): Promise<void> {
  const { socket } = await gateway.connect()
  socket.write(`GET /late HTTP/1.1\r\n${HOST}X: `)
  assert.match(await readWhileDribbling(socket), /^HTTP\/1\.1 408 /)
}

test('a TLS handshake that does not end is cut off, also when bytes keep coming', async (context) => {
  const gateway = await startGateway(context, { options: { interceptLimits: { ...LONG, handshakeTimeoutMs: 300 } } })
  const { stream } = await gateway.openTunnel()
  // The head of a record that announces 16 KiB, then one byte of it after the other.
  stream.write(Buffer.from([0x16, 3, 1, 0x3f, 0xff]))
  const dribble = setInterval(() => stream.write(Buffer.from([1])), 50).unref()
  await stream.closeCode
  clearInterval(dribble)
  const record = await gateway.nextRecord()
  assert.ok(record.mode === 'refused' && record.code === 'client-tls-failed')
})

test('a request head that does not end is answered 408, also when bytes keep coming', async (context) => {
  const gateway = await startWithShortHeads(context)
  const { socket } = await gateway.connect()
  socket.write(`GET / HTTP/1.1\r\n${HOST}X: `)
  assert.match(await readWhileDribbling(socket), /^HTTP\/1\.1 408 [\s\S]*"code":"head-timeout"/)
  assert.equal(gateway.origin.connections, 0)
  const record = await gateway.nextRecord()
  assert.ok(record.mode === 'refused' && record.code === 'head-timeout' && record.status === 408)
})

test('the second head of a connection has the same limit, and a pause between two requests has none', async (context) => {
  const gateway = await startWithShortHeads(context)
  const { socket } = await gateway.connect()
  const request = requestOver(socket, { headers: { connection: 'keep-alive' } })
  request.end()
  await textOf(await responseOf(request))
  await headLimitPasses(gateway)
  const second = requestOver(socket, { headers: { connection: 'keep-alive' } })
  second.end()
  assert.equal((await responseOf(second)).statusCode, 200)
  const { socket: slow } = await gateway.connect()
  slow.write(`GET / HTTP/1.1\r\n${HOST}\r\nGET /second HTTP/1.1\r\n`)
  const answer = await readWhileDribbling(slow)
  assert.match(answer, /^HTTP\/1\.1 200 /)
  assert.match(answer, /HTTP\/1\.1 408 /)
})

test('an upload that takes longer than the limit of a head is not cut', async (context) => {
  const gateway = await startWithShortHeads(context)
  const { socket } = await gateway.connect()
  const request = requestOver(socket, { method: 'POST', path: '/upload' })
  request.write('x')
  await headLimitPasses(gateway)
  request.end('y')
  assert.equal(JSON.parse(await textOf(await responseOf(request))).bytes, 2)
})

test('two sessions, and two tunnels of one, never share a connection to the origin', async (context) => {
  const other = { session: 'session-2', token: 'tok-an0ther-0123456789' }
  for (const origin of ['http1', 'http2'] as const) {
    const gateway = await startGateway(context, { origin: { protocol: origin }, sessions: [other] })
    const openings = [CREDENTIALS, other, CREDENTIALS].map((who) =>
      gateway.openHttp2('api.example.com', { credentials: who }),
    )
    const tunnels = await Promise.all(openings)
    for (const { session } of tunnels) assert.equal((await ask(session, {})).status, 200)
    for (const { session } of tunnels) assert.equal((await ask(session, {})).status, 200)
    assert.equal(gateway.origin.connections, 3)
    for (const { session } of tunnels) session.close()
  }
})

test('the first event of a stream arrives while the stream goes on, over either protocol', async (context) => {
  const gateway = await startGateway(context)
  const { socket } = await gateway.connect()
  const request = requestOver(socket, { path: '/events' })
  request.end()
  const response = await responseOf(request)
  const [event] = (await new Promise((resolve) => response.once('data', (...all) => resolve(all)))) as [Buffer]
  assert.equal(event.toString(), 'data: first\n\n')
  request.destroy()
  const { session } = await gateway.openHttp2()
  const stream = session.request({ ':path': '/events' })
  stream.on('error', () => {})
  const first = await new Promise<Buffer>((resolve) => stream.once('data', resolve))
  assert.equal(first.toString(), 'data: first\n\n')
  session.destroy()
})
