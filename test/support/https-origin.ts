// An HTTPS origin for tests. It remembers every request, and answers by path:
//   /bytes/N    N deterministic bytes, with Content-Length      /chunked/N  the same, chunked
//   /upload     SHA-256 and length of the body                  /abort/N    announces N bytes, sends half, dies
//   /status/N   an empty answer with that status                /silent     no answer at all
//   /expect     100 (Continue), then the SHA-256 of the body    /early      103, then the echo
//   /head       the head of an answer, and nothing more         /slowly     as /upload, read slower than it comes
//   /events     the first event of an event stream, which stays open
//   /redirect   302 to https://plain.example.com/next
//   /stale      dies when it is not the first request of its connection
//   anything else echoes method, path, headers and body length as JSON

import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { type Duplex, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { TestCertificate } from './test-ca.js'

/** A request as it came over the wire. */
export interface SeenRequest {
  readonly method: string
  readonly path: string
  /** Names and values in turn, untouched. */
  readonly rawHeaders: readonly string[]
}

/** A running origin. */
export interface HttpsOrigin {
  readonly port: number
  /** `127.0.0.1:port` */
  readonly address: string
  /** Every request so far. */
  readonly requests: readonly SeenRequest[]
  /** TCP connections so far, whether or not a request came over them. */
  readonly connections: number
  close(): Promise<void>
}

/** Starts an origin on a free port of 127.0.0.1. */
export async function startHttpsOrigin(certificate: TestCertificate): Promise<HttpsOrigin> {
  const requests: SeenRequest[] = []
  const sockets = new Set<Duplex>()
  const seenBefore = new WeakSet<Duplex>()
  let connections = 0
  const server = createServer(certificate, (request, response) => {
    requests.push({ method: request.method ?? '', path: request.url ?? '', rawHeaders: request.rawHeaders })
    const isFirst = !seenBefore.has(request.socket)
    seenBefore.add(request.socket)
    if (request.url === '/stale' && !isFirst) request.socket.destroy()
    // A client that goes away in the middle is part of some tests.
    else answer(request, response).catch(() => response.destroy())
  })
  server.on('checkContinue', (request, response) => {
    requests.push({ method: request.method ?? '', path: request.url ?? '', rawHeaders: request.rawHeaders })
    if (request.url !== '/expect') response.writeHead(417, { 'Content-Length': 0 }).end()
    else {
      response.writeContinue()
      answerUpload(request, response).catch(() => response.destroy())
    }
  })
  server.on('connection', (socket) => {
    connections++
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    port,
    address: `127.0.0.1:${port}`,
    requests,
    get connections() {
      return connections
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [, verb, argument] = /^\/([a-z]+)(?:\/([0-9]+))?/.exec(request.url ?? '') ?? []
  const count = Number(argument)
  switch (verb) {
    case 'bytes':
      response.writeHead(200, { 'Content-Length': count })
      return pipeline(Readable.from(deterministicBytes(count)), response)
    case 'chunked':
      return pipeline(Readable.from(deterministicBytes(count)), response)
    case 'upload':
      return answerUpload(request, response)
    case 'slowly':
      response.end(JSON.stringify(await digest(slowly(request))))
      return
    case 'abort':
      response.writeHead(200, { 'Content-Length': count })
      response.write(Buffer.alloc(count / 2), () => request.socket.destroy())
      return
    case 'status':
      response.writeHead(count).end()
      return
    case 'events':
      response.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('data: first\n\n')
      return
    case 'redirect':
      response.writeHead(302, { Location: 'https://plain.example.com/next', 'Content-Length': 0 }).end()
      return
    case 'silent':
      return
    case 'head':
      response.flushHeaders()
      return
    case 'early':
      response.writeEarlyHints({ link: '</style.css>; rel=preload' })
      return echo(request, response)
    default:
      return echo(request, response)
  }
}

async function answerUpload(request: IncomingMessage, response: ServerResponse): Promise<void> {
  response.end(JSON.stringify(await digest(request)))
}

async function echo(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { bytes } = await digest(request)
  const { method, url: path, rawHeaders, headers } = request
  response.setHeader('Content-Type', 'application/json')
  response.end(JSON.stringify({ method, path, headers, rawHeaders, bytes }))
}

/** SHA-256 (hex) and length of a stream. */
export async function digest(source: AsyncIterable<Uint8Array>): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of source) {
    hash.update(chunk)
    bytes += chunk.length
  }
  return { sha256: hash.digest('hex'), bytes }
}

/** Hands `source` on with a pause for every piece, far slower than a peer on the same machine sends. */
export async function* slowly(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const piece of source) {
    for (let turn = 0; turn < 20; turn++) await nextTurn()
    yield piece
  }
}

const BLOCK_BYTES = 65_536

/** `count` bytes, the same ones each time, in blocks that differ from each other. */
export function* deterministicBytes(count: number): Generator<Buffer> {
  const block = Buffer.from(Array.from({ length: BLOCK_BYTES }, (_, index) => (index * 31 + (index >> 8)) & 0xff))
  for (let at = 0; at < count; at += BLOCK_BYTES) {
    const copy = Buffer.from(block.subarray(0, Math.min(BLOCK_BYTES, count - at)))
    if (copy.length >= 4) copy.writeUInt32BE(at / BLOCK_BYTES)
    yield copy
  }
}
