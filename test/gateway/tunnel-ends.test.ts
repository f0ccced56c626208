// Ends that come at an awkward moment: before the other side is there, in a listener that throws, behind a proxy that does not
// answer. Whatever is left has an owner that ends it.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { WebSocket, WebSocketServer } from 'ws'
import { AdminServer } from '#gateway/server/admin-server.js'
import { ChunkStream, DefectError } from '#gateway/server/chunk-stream.js'
import { listen as listenOn } from '#gateway/server/listen.js'
import { splice } from '#gateway/server/splice.js'
import { CLIENT_HELLO } from '../support/connect-vectors.js'
import { listen } from '../support/listening.js'
import { Mailbox } from '../support/mailbox.js'
import { CREDENTIALS, HOST, startGateway } from './fixture.js'
import { connectHead, encode, openWire, readAll } from './wire-client.js'

/** A server that accepts and does nothing else; what it accepted comes one by one. */
async function startSilent(context: TestContext): Promise<{ port: number; accepted: Mailbox<Socket> }> {
  const accepted = new Mailbox<Socket>()
  const { port } = await listen(
    context,
    createServer((socket) => accepted.put(socket)),
  )
  return { port, accepted }
}

/** A stream of the gateway's, and the client at its other end. */
async function streamPair(
  context: TestContext,
  pausedPingMs?: number,
): Promise<{
  stream: ChunkStream
  webSocket: WebSocket
  client: WebSocket
}> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false })
  context.after(() => server.close())
  await once(server, 'listening')
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const [[webSocket]] = (await Promise.all([once(server, 'connection'), once(client, 'open')])) as [
    [WebSocket],
    unknown,
  ]
  context.after(() => client.terminate())
  return { stream: new ChunkStream(webSocket, pausedPingMs).on('error', () => {}), webSocket, client }
}

async function originSocket(context: TestContext): Promise<{ origin: Socket; accepted: Socket }> {
  const { port, accepted } = await startSilent(context)
  const origin = connectTcp(port, '127.0.0.1').on('error', () => {})
  await once(origin, 'connect')
  return { origin, accepted: await accepted.next() }
}

test('a client that left while the origin was dialled takes the origin with it', async (context) => {
  for (const failure of [undefined, new Error('reset')]) {
    const { stream } = await streamPair(context)
    const { origin, accepted } = await originSocket(context)
    stream.destroy(failure)
    await new Promise((resolve) => stream.once('close', resolve))
    const closed = once(accepted.resume(), 'close')
    assert.equal(await splice(stream, origin), 'client-closed')
    await closed
  }
})

test('a client that leaves while nobody reads what it sent is missed all the same', async (context) => {
  const { stream, webSocket, client } = await streamPair(context, 50)
  client.send(encode(Buffer.alloc(1_000_000)))
  while (!webSocket.isPaused) await nextTurn()
  // The end comes after more bytes than node reads ahead.
  client.send(encode(Buffer.alloc(1_000_000)), () => client.terminate())
  await new Promise((resolve) => stream.once('close', resolve))
  assert.ok(stream.errored instanceof Error)
})

test('a client that only waits to be read keeps its tunnel', async (context) => {
  const { stream, client } = await streamPair(context, 10)
  const sent = 1_000_000
  client.send(encode(Buffer.alloc(sent)))
  for (let pings = 0; pings < 3; pings++) await once(client, 'ping')
  let received = 0
  for await (const bytes of stream) {
    received += bytes.length
    if (received === sent) break
  }
  assert.equal(received, sent)
})

test('an origin that left before it was joined takes the tunnel with it', async (context) => {
  for (const isClosed of [false, true]) {
    const { stream, client } = await streamPair(context)
    const { origin } = await originSocket(context)
    origin.destroy()
    if (isClosed) await once(origin, 'close')
    const closed = once(client, 'close')
    assert.equal(await splice(stream, origin), 'upstream-aborted')
    await closed
    assert.ok(stream.destroyed)
  }
})

test('a write to a client that throws ends its tunnel, with 1011, and nothing else', async (context) => {
  const { stream, client, webSocket } = await streamPair(context)
  const { origin, accepted } = await originSocket(context)
  const [closed, defect] = [once(client, 'close'), once(stream, 'defect')]
  const spliced = splice(stream, origin)
  webSocket.send = () => {
    throw new TypeError('a defect')
  }
  accepted.write('bytes')
  assert.ok((await defect)[0] instanceof TypeError)
  assert.deepEqual(await closed, [1011, Buffer.alloc(0)])
  await spliced
})

test("a listener that throws at a client's bytes ends this client's tunnel, with 1011, and nothing else", async (context) => {
  const { stream, client } = await streamPair(context)
  stream.on('data', () => {
    throw new TypeError('a defect')
  })
  client.send(encode(Buffer.from('bytes')))
  assert.deepEqual(await once(client, 'close'), [1011, Buffer.alloc(0)])
  assert.ok(stream.errored instanceof DefectError)
})

test('an origin whose end throws ends its tunnel, and nothing else', async (context) => {
  const { stream } = await streamPair(context)
  const { origin } = await originSocket(context)
  origin.destroySoon = () => {
    throw new TypeError('a defect')
  }
  const defect = once(stream, 'defect')
  const spliced = splice(stream, origin)
  stream.destroy()
  assert.equal(await spliced, 'internal')
  assert.ok((await defect)[0] instanceof TypeError)
  assert.ok(origin.destroyed)
})

test("what throws for one request of the operator's port ends that one, with a word to the operator", async (context) => {
  const defects: unknown[] = []
  const metrics = { expose: async () => assert.fail('a defect') }
  const admin = new AdminServer({
    metrics,
    isReady: () => assert.fail('a defect'),
    reportDefect: (thrown) => defects.push(thrown),
  })
  const port = await admin.listen({ host: '127.0.0.1', port: 0 }, () => {})
  context.after(() => admin.close())
  for (const path of ['/readyz', '/metrics']) await assert.rejects(fetch(`http://127.0.0.1:${port}${path}`))
  assert.equal(defects.length, 2)
  assert.equal((await fetch(`http://127.0.0.1:${port}/healthz`)).status, 200)
})

test('a listener that fails again and again is reported, and goes on', async (context) => {
  const failures: string[] = []
  const server = createHttpServer((_request, response) => response.end('ok'))
  context.after(() => server.close())
  const port = await listenOn(server, { host: '127.0.0.1', port: 0 }, ({ message }) => failures.push(message))
  for (const message of ['EMFILE', 'EMFILE']) server.emit('error', new Error(message))
  assert.deepEqual(failures, ['EMFILE', 'EMFILE'])
  assert.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 200)
  const taken = createHttpServer()
  await assert.rejects(
    listenOn(taken, { host: '127.0.0.1', port }, () => {}),
    { code: 'EADDRINUSE' },
  )
})

test('an audit function, a warn function and a lookup that throw end at most a tunnel, with its answer', async (context) => {
  const fail = () => {
    throw new Error('of the embedding program')
  }
  const rejecting = async () => fail()
  for (const audit of [fail, rejecting]) {
    const gateway = await startGateway(context, { options: { audit, warn: fail, lookup: fail as () => never } })
    assert.equal((await gateway.openTunnel('127.0.0.1')).status, 403)
    assert.equal((await gateway.openTunnel('nobody.example.com')).status, 500)
  }
})

test('what should not happen on the way to an origin is answered 500, and the operator gets its place in the code', async (context) => {
  const lookup = () => {
    throw new TypeError('a defect with a word of its own')
  }
  const gateway = await startGateway(context, {
    rules: { 'lost.example.com': [] },
    connectTo: { 'lost.example.com:443': 'elsewhere.example.com:443' },
    options: { lookup },
  })
  const { status, text } = await gateway.call({ host: 'lost.example.com' })
  assert.deepEqual([status, JSON.parse(text).code], [500, 'internal'])
  assert.equal((await gateway.openTunnel('plainly.example.com')).status, 500)
  assert.equal(gateway.warnings.length, 2)
  for (const warning of gateway.warnings) {
    assert.match(warning, /^a defect ended a request, please report it: TypeError at tunnel-ends\.test\.[jt]s:\d+/)
    assert.doesNotMatch(warning, /word of its own/)
  }
})

test('a proxy that answers in drops has no more time than any other way out', async (context) => {
  const { port, accepted } = await startSilent(context)
  const gateway = await startGateway(context, { options: { dialTimeoutMs: 200 } })
  await gateway.reload({ hosts: {}, forward: `http://127.0.0.1:${port}`, ca: { certificate: 'ca.pem' } })
  const answered = gateway.openTunnel(HOST)
  const proxied = (await accepted.next()).resume()
  proxied.write('HTTP/1.1 200 OK\r\nX: x')
  const drops = setInterval(() => proxied.write('x'), 20).unref()
  proxied.once('close', () => clearInterval(drops))
  const { status, text } = await answered
  assert.deepEqual([status, text.includes('"connection-timeout"')], [504, true])
  if (!proxied.closed) await once(proxied, 'close')
})

test('a client that leaves while the proxy thinks takes the connection to it along', async (context) => {
  const { port, accepted } = await startSilent(context)
  const gateway = await startGateway(context)
  await gateway.reload({ hosts: {}, forward: `http://127.0.0.1:${port}`, ca: { certificate: 'ca.pem' } })
  const stream = await openWire(gateway.tunnelUrl, CREDENTIALS.token)
  stream.write(connectHead(`${HOST}:443`, CREDENTIALS))
  const proxied = (await accepted.next()).resume()
  const closed = once(proxied, 'close')
  stream.destroy()
  await closed
  const record = await gateway.nextRecord()
  assert.equal(record.mode === 'refused' && record.code, 'client-closed')
})

test('a client that ends its direction before its TLS begins, or within the handshake, is let go', async (context) => {
  const gateway = await startGateway(context)
  for (const bytes of [Buffer.alloc(0), CLIENT_HELLO.subarray(0, 20), CLIENT_HELLO]) {
    const { stream } = await gateway.openTunnel(HOST)
    stream.staysOpen = true
    stream.resume()
    if (bytes.length > 0) stream.write(bytes)
    stream.endSending()
    assert.equal(await stream.closeCode, 1000)
    const record = await gateway.nextRecord()
    assert.equal(record.mode === 'refused' && record.code, 'client-tls-failed')
  }
})

test('a client that has sent its whole request and ends its direction gets the answer', async (context) => {
  const gateway = await startGateway(context)
  const { stream, socket } = await gateway.connect(HOST, { protocols: ['http/1.1'] })
  stream.staysOpen = true
  socket.write(`GET /late HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`, () => stream.endSending())
  assert.match((await readAll(socket)).toString(), /^HTTP\/1\.1 200 [\s\S]*\/late/)
  const record = await gateway.nextRecord()
  assert.deepEqual([record.mode, 'error' in record], ['intercept', false])
})

test('what came after our end alone is read also when the peer has closed meanwhile', async (context) => {
  const { stream, webSocket, client } = await streamPair(context)
  stream.endSending()
  await once(client, 'message')
  client.send(encode(Buffer.from('the last words')))
  client.close(1000)
  await once(webSocket, 'close')
  assert.equal((await readAll(stream)).toString(), 'the last words')
})
