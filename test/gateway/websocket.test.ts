// WebSockets through interception: the handshake is a request like any other, with rules and checks; what follows is bytes.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, type TestContext, test } from 'node:test'
import { WebSocket } from 'ws'
import { Mailbox } from '../support/mailbox.js'
import { startOrigin } from '../support/origin.js'
import { type GatewaySetup, HOST, requestOver, responseOf, SECRET, startGateway, type TestGateway } from './fixture.js'
import { readAll } from './wire-client.js'

const startStage = (context: TestContext, setup: GatewaySetup = {}) => {
  return startGateway(context, { ...setup, origin: { protocol: 'websocket' } })
}

/** A `ws` client over an intercepted tunnel, and the next message that came to it. */
async function openWebSocket(gateway: TestGateway, path: string) {
  const { socket } = await gateway.connect()
  const webSocket = new WebSocket(`wss://api.example.com${path}`, {
    createConnection: () => socket,
    headers: { authorization: 'Bearer mine' },
  })
  const messages = new Mailbox<string>()
  webSocket.on('message', (data) => messages.put(String(data)))
  return { webSocket, next: () => messages.next() }
}

test('a WebSocket echoes, its handshake has the injected header, and the audit has one line for it', async (context) => {
  const gateway = await startStage(context)
  const { webSocket, next } = await openWebSocket(gateway, '/chat?token=x')
  assert.equal(await next(), 'welcome')
  for (const message of ['one', 'two', 'x'.repeat(300_000)]) {
    webSocket.send(message)
    assert.equal(await next(), message)
  }
  webSocket.close(1000)
  await once(webSocket, 'close')
  const [seen] = gateway.origin.requests
  const at = seen?.rawHeaders.findIndex((name) => name.toLowerCase() === 'authorization') ?? -1
  assert.equal(seen?.rawHeaders[at + 1], `Bearer ${SECRET}`)
  assert.equal(seen?.path, '/chat?token=x')
  const record = await gateway.nextRecord()
  assert.ok(record.mode === 'intercept')
  assert.equal(record.status, 101)
  assert.equal(record.path, '/chat')
  assert.equal(record.error, undefined)
  assert.ok(record.requestBytes > 300_000 && record.responseBytes > 300_000)
})

test("the origin's close code reaches the client", async (context) => {
  const gateway = await startStage(context)
  const { webSocket } = await openWebSocket(gateway, '/close')
  const [code, reason] = await once(webSocket, 'close')
  assert.equal(code, 4321)
  assert.equal(String(reason), 'goodbye')
})

test('a WebSocket stays open while nothing is said, past every limit for requests', async (context) => {
  const idle = await startOrigin(context, { protocol: 'raw' })
  const interceptLimits = { handshakeTimeoutMs: 3_500, requestHeadTimeoutMs: 3_500 }
  const gateway = await startStage(context, {
    rules: { [HOST]: [], 'other.example.com': [] },
    connectTo: { 'other.example.com:443': idle.address },
    options: { responseHeadTimeoutMs: 3_500, interceptLimits },
  })
  const { webSocket, next } = await openWebSocket(gateway, '/')
  assert.equal(await next(), 'welcome')
  // A pooled connection that rests from now on has the longest of the limits.
  const { socket } = await gateway.connect('other.example.com')
  const request = requestOver(socket, { headers: { host: 'other.example.com', connection: 'keep-alive' } })
  request.end()
  const pooled = await idle.nextConnection()
  pooled.write('HTTP/1.1 204 No Content\r\n\r\n')
  assert.equal((await responseOf(request)).statusCode, 204)
  await pooled.ended
  webSocket.send('still here')
  assert.equal(await next(), 'still here')
  webSocket.close()
  await once(webSocket, 'close')
})

test("an origin's refusal of the upgrade is passed on", async (context) => {
  const gateway = await startStage(context)
  const { webSocket } = await openWebSocket(gateway, '/deny')
  const [, response] = await once(webSocket, 'unexpected-response')
  assert.equal(response.statusCode, 403)
  response.setEncoding('utf8')
  let body = ''
  for await (const text of response) body += text
  assert.equal(body, 'denied')
})

test('a client that goes away closes the connection to the origin', async (context) => {
  const gateway = await startStage(context)
  const { webSocket, next } = await openWebSocket(gateway, '/')
  await next()
  webSocket.terminate()
  const record = await gateway.nextRecord()
  assert.ok(record.mode === 'intercept' && record.status === 101)
})

test('other upgrades are ordinary requests, and requests after them are read', async (context) => {
  const gateway = await startGateway(context)
  const head = (protocol: string, more = '') => {
    return `GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n${more}\r\n`
  }
  const cases = [
    head('h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__\r\n'),
    head('websocket, h2c'),
    head('TLS/1.2'),
    `${head('websocket', 'Content-Length: 4\r\n')}body`,
    head('websocket').replace('GET', 'POST'),
  ]
  for (const raw of cases) {
    const { socket } = await gateway.connect()
    socket.write(`${raw}GET /next HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`)
    const answers = (await readAll(socket)).toString('latin1').match(/HTTP\/1\.1 \d+/g)
    assert.deepEqual(answers, ['HTTP/1.1 200', 'HTTP/1.1 200'], raw)
    const [first, second] = gateway.origin.requests.slice(-2)
    const names = first?.rawHeaders.map((name) => name.toLowerCase())
    assert.ok(!names?.includes('upgrade') && !names?.includes('http2-settings'), raw)
    assert.equal(second?.path, '/next')
  }
})

describe('an upgrade that is sent ahead, while a request before it is under way', () => {
  const FIRST = `POST /first HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 5\r\n\r\nhello`
  const UPGRADE =
    `GET /chat HTTP/1.1\r\nHost: ${HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'

  for (const [title, answer, status] of [
    ['agrees to', 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n', 101],
    ['refuses', 'HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n', 403],
  ] as const) {
    test(`comes to the origin after the first answer, and has a line of its own when the origin ${title} it`, async (context) => {
      const origin = await startOrigin(context, { protocol: 'raw' })
      const gateway = await startGateway(context, { origin })
      const client = await gateway.openHttp1()
      client.write(FIRST + UPGRADE)
      const connection = await origin.nextConnection()
      await connection.takeUntil('hello')
      assert.ok(!connection.received.includes('/chat'))
      connection.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
      await connection.takeUntil('dGhlIHNhbXBsZSBub25jZQ==')
      connection.write(answer)
      assert.deepEqual([(await client.answer()).status, (await client.answer()).status], [200, status])
      client.socket.destroy()
      const records = await gateway.untilRecords(2)
      assert.deepEqual(
        records.map((record) => record.mode === 'intercept' && [record.path, record.status, record.error]),
        [
          ['/first', 200, undefined],
          ['/chat', status, undefined],
        ],
      )
    })
  }

  test('is not looked at when the client leaves before its turn', async (context) => {
    const origin = await startOrigin(context, { protocol: 'raw' })
    const gateway = await startGateway(context, { origin })
    const client = await gateway.openHttp1()
    client.write(FIRST + UPGRADE)
    const connection = await origin.nextConnection()
    await connection.takeUntil('hello')
    client.socket.destroy()
    await connection.ended
    assert.ok(!connection.received.includes('/chat'))
    await gateway.close()
    assert.deepEqual(
      gateway.audit.map((record) => record.mode === 'intercept' && [record.path, record.status, record.error]),
      [['/first', 0, 'client-closed']],
    )
  })
})

test('an upgrade for another host is refused, and nothing is dialled', async (context) => {
  const gateway = await startStage(context)
  const { socket } = await gateway.connect()
  socket.write('GET / HTTP/1.1\r\nHost: other.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  assert.match((await readAll(socket)).toString('latin1'), /^HTTP\/1\.1 421 /)
  assert.equal(gateway.origin.connections, 0)
})

test('HTTP/2 does not offer extended CONNECT, so that clients open WebSockets over HTTP/1.1', async (context) => {
  const gateway = await startStage(context)
  const { session } = await gateway.openHttp2()
  const [settings] = await once(session, 'remoteSettings')
  assert.equal(settings.enableConnectProtocol, false)
  session.close()
})
