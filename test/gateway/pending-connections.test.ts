// Connections on which nobody has proved anything: how many there are, and for how long.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer as createHttpServer, type Server } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { connect as connectTcp, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { promisify } from 'node:util'
import { Guard } from '#gateway/guard.js'
import { PendingConnections, type PendingLimits } from '#gateway/server/pending-connections.js'
import { listen } from '../support/listening.js'
import { originCa } from '../support/origin.js'
import { HOST, startGateway } from './fixture.js'

const UPGRADE = 'GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'
const certificate = await originCa.serverCertificate(HOST)

/** A server that agrees to every upgrade. */
async function start(context: TestContext, server: Server, limits: PendingLimits): Promise<number> {
  const guard = new Guard((thrown) => assert.fail(thrown as Error))
  const pending = new PendingConnections(server, guard, limits)
  server.on('upgrade', (_request, socket: Duplex) => {
    pending.release(socket.on('error', () => {}) as Socket)
    socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n')
  })
  return (await listen(context, server)).port
}

/** @param localAddress where it comes from */
function open(context: TestContext, port: number, localAddress = '127.0.0.1'): Socket {
  const socket = connectTcp({ port, host: '127.0.0.1', localAddress }).on('error', () => {})
  context.after(() => socket.destroy())
  return socket.resume()
}

/** However it closes: what is written to one that was cut off is an error. */
function closeOf(socket: Socket): Promise<void> {
  return socket.closed ? Promise.resolve() : new Promise((resolve) => socket.once('close', () => resolve()))
}

test('what is not upgraded in time is cut off, however it dribbles; what is goes on, over TLS too', async (context) => {
  const limits = { limitMs: 5_000, count: 100 }
  const secure = createHttpsServer({ ...certificate, headersTimeout: 0, requestTimeout: 0 })
  const port = await start(context, secure, limits)
  const upgraded = connectTls({ port, host: '127.0.0.1', ca: originCa.rootPem, servername: HOST })
  context.after(() => upgraded.destroy())
  upgraded.write(UPGRADE)
  await once(upgraded, 'data')
  const cutOff = ['', '\x16\x03\x01'].map(async (bytes) => {
    const idle = open(context, port)
    const dribble = setInterval(() => idle.write(bytes), 50).unref()
    await closeOf(idle)
    clearInterval(dribble)
  })
  await Promise.all(cutOff)
  upgraded.resume()
  assert.ok(!upgraded.closed)
  assert.equal(upgraded.readableEnded, false)
})

test('one more than there may be takes the place of the oldest, and of none that was upgraded', async (context) => {
  const port = await start(context, createHttpServer(), { limitMs: 60_000, count: 2 })
  const upgraded = open(context, port)
  const answered = once(upgraded, 'data')
  upgraded.write(UPGRADE)
  await answered
  const sockets: Socket[] = []
  for (let count = 0; count < 3; count++) {
    const socket = open(context, port)
    await once(socket, 'connect')
    sockets.push(socket)
  }
  await closeOf(sockets[0] as Socket)
  const [, second, third] = sockets as [Socket, Socket, Socket]
  for (const socket of [second, third]) {
    const agreed = once(socket, 'data')
    socket.write(UPGRADE)
    await agreed
  }
  assert.ok(!upgraded.closed)
})

test('however many come, no more are left than there may be', async (context) => {
  const server = createHttpServer()
  const port = await start(context, server, { limitMs: 60_000, count: 10 })
  const sockets = Array.from({ length: 200 }, () => open(context, port))
  while (sockets.filter(({ closed }) => closed).length < 190) await nextTurn()
  const connections = promisify(server.getConnections.bind(server))
  assert.equal(await connections(), 10)
})

test('an address that has most of them makes room, and no other', async (context) => {
  const port = await start(context, createHttpServer(), { limitMs: 60_000, count: 10 })
  const honest = [open(context, port, '127.0.0.2'), open(context, port, '127.0.0.3')]
  await Promise.all(honest.map((socket) => once(socket, 'connect')))
  const flood = Array.from({ length: 200 }, () => open(context, port))
  while (flood.filter(({ closed }) => closed).length < 192) await nextTurn()
  for (const socket of honest) {
    const agreed = once(socket, 'data')
    socket.write(UPGRADE)
    await agreed
  }
})

test('an upgrade whose token is still being looked at has no place of its own', async (context) => {
  const silent = createHttpServer(() => {})
  const { address } = await listen(context, silent)
  const issuer = 'https://issuer.example'
  const gateway = await startGateway(context, {
    config: { sessions: [], jwt: [{ issuer, audience: 'gateway', jwks: `http://${address}/` }] },
    options: { pendingLimits: { limitMs: 60_000, count: 2 } },
  })
  const parts = [{ alg: 'ES256' }, { iss: issuer, aud: 'gateway', sub: 'session', exp: 4_102_444_800 }, 'no signature']
  const bearer = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
  const fields = `Host: h\r\nAuthorization: Bearer ${bearer}\r\nContent-Type: application/proto\r\n`
  const first = open(context, gateway.running.port)
  const { pathname } = new URL(gateway.tunnelUrl)
  first.write(`GET ${pathname} HTTP/1.1\r\n${fields}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`)
  let answer = ''
  first.on('data', (bytes) => {
    answer += bytes
  })
  await once(silent, 'request')
  for (let count = 0; count < 2; count++) await once(open(context, gateway.running.port), 'connect')
  await closeOf(first)
  assert.equal(answer, '')
})

test('a thousand silent connections to the gateway keep nobody out, and a session that is in stays', async (context) => {
  const gateway = await startGateway(context)
  const { stream } = await gateway.openTunnel()
  const port = gateway.running.port
  const first = open(context, port)
  await once(first, 'connect')
  const closed = closeOf(first)
  for (let count = 0; count < 1_000; count++) open(context, port)
  await closed
  assert.equal((await gateway.call()).status, 200)
  assert.ok(!stream.destroyed)
})

test('a connection has one request that is no upgrade', async (context) => {
  const gateway = await startGateway(context)
  for (const path of ['/healthz', '/upstreamproxy/ca-cert', '/upstreamproxy/ws', '/else']) {
    const { headers } = await fetch(`${gateway.url}${path}`)
    assert.equal(headers.get('connection'), 'close', path)
  }
})
