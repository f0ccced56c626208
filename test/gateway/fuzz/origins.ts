// The origins of the fuzz suite: one that behaves, and three that do not: over HTTP/1.1, over HTTP/2, and before either. The first
// three note the path of every request that they parsed; what a hostile one does with a request goes by its path, by chance.

import { createServer as createHttp2Server, createSecureServer, type ServerHttp2Stream } from 'node:http2'
import { connect as connectTcp, createServer as createTcpServer, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { type Listening, listen } from '../../support/listening.js'
import { encodeFrame, FRAME } from '../../support/raw-http2.js'
import { type LoggedRequest, RequestLog } from '../../support/request-log.js'
import { SeededRandom } from '../../support/seeded-random.js'
import type { Scope } from '../../support/temp-dir.js'
import type { TestCertificate } from '../../support/test-ca.js'
import { randomAnswer } from './http1-messages.js'
import {
  goawayFrame,
  perturbFrames,
  randomAnswerFrames,
  randomFrame,
  randomSettings,
  resetFrame,
  windowUpdate,
} from './http2-messages.js'
import { mutate } from './mutations.js'

/** What the gateway injects: it must not come back to a client. */
export const SECRET = 'fuzz-secret-0123456789abcdef'

/** What the origins have seen. */
export class SeenRequests {
  /** How often each path was asked for. */
  readonly counts = new Map<string, number>()
  /** What came over HTTP/1.1 and was no request. */
  readonly broken: string[] = []

  note(path: string): void {
    const known = path.split('?', 1)[0] as string
    this.counts.set(known, (this.counts.get(known) ?? 0) + 1)
  }
}

/** Answers over either protocol, when it has the whole request. */
export function startQuietOrigin(scope: Scope, certificate: TestCertificate, seen: SeenRequests): Promise<Listening> {
  const server = createSecureServer({ ...certificate, allowHTTP1: true }, (request, response) => {
    seen.note(request.url)
    request.on('error', ignore)
    response.on('error', ignore)
    request.resume().once('end', () => response.end('quiet'))
  })
  server.on('sessionError', ignore)
  return listen(scope, server)
}

/** HTTP/1.1 with answers by chance. */
export function startHostileHttp1(scope: Scope, certificate: TestCertificate, seen: SeenRequests): Promise<Listening> {
  const server = createTlsServer({ ...certificate, ALPNProtocols: ['http/1.1'] }, (socket) => {
    const log = new RequestLog()
    let count = 0
    const onData = (bytes: Buffer) => {
      log.push(bytes)
      for (; count < log.requests.length; count++) {
        const { path, fields } = log.requests[count] as LoggedRequest
        seen.note(path)
        const answer = answerHttp1(randomFor(path), socket)
        // What comes after that is no HTTP any more.
        if (fields.has('upgrade') && answer.includes(' 101')) socket.off('data', onData).resume()
      }
      if (log.broken === undefined) return
      seen.broken.push(`after ${log.requests.at(-1)?.path}: ${log.broken.slice(0, 100)}`)
      socket.off('data', onData).destroy()
    }
    socket.on('error', ignore).on('data', onData)
  })
  return listen(scope, server)
}

/** Returns what is sent, or some of it. */
function answerHttp1(random: SeededRandom, socket: TLSSocket): Buffer {
  const answer = randomAnswer(random)
  const bytes = random.happens(0.3) ? mutate(random, answer) : random.happens(0.1) ? withEcho(answer) : answer
  sendHttp1(random, socket, bytes)
  return bytes
}

function sendHttp1(random: SeededRandom, socket: TLSSocket, bytes: Buffer): void {
  const part = bytes.subarray(0, random.below(bytes.length + 1))
  const act = random.pick(['all', 'all', 'all', 'end', 'cut', 'destroy', 'silent', 'slowly', 'garbage'] as const)
  switch (act) {
    case 'all':
      socket.write(bytes)
      return
    case 'end':
      socket.end(bytes)
      return
    case 'cut':
      socket.end(part)
      return
    case 'destroy':
      socket.write(part)
      socket.destroy()
      return
    case 'slowly':
      setTimeout(() => socket.write(bytes), random.below(30))
      return
    case 'garbage':
      socket.write(random.bytes(random.below(100)))
      return
    case 'silent':
      return
  }
}

/** With the request's credential as a field of the first head. */
function withEcho(answer: Buffer): Buffer {
  const end = answer.indexOf('\r\n') + 2
  return Buffer.concat([answer.subarray(0, end), Buffer.from(`X-Echo: Bearer ${SECRET}\r\n`), answer.subarray(end)])
}

/** HTTP/2 with answers by chance. A server of node's reads along, for its HPACK; what that says to the client is dropped. */
export function startHostileHttp2(scope: Scope, certificate: TestCertificate, seen: SeenRequests): Promise<Listening> {
  const server = createTlsServer({ ...certificate, ALPNProtocols: ['h2'] }, (socket) => {
    const reader = new Overhearing()
    const http2 = createHttp2Server({ settings: { initialWindowSize: 16_777_216 } })
    http2.on('sessionError', ignore)
    http2.on('stream', (stream: ServerHttp2Stream, headers) => {
      stream.on('error', ignore).resume()
      const path = String(headers[':path'])
      seen.note(path)
      answerHttp2(randomFor(path), socket, stream.id ?? 1)
    })
    http2.emit('connection', reader)
    const preface = [encodeFrame(FRAME.settings, 0, 0), encodeFrame(FRAME.settings, 1, 0), windowUpdate(0, 0x4000_0000)]
    socket.write(Buffer.concat(preface))
    socket.on('error', ignore).on('data', (bytes: Buffer) => reader.overhear(bytes))
    socket.once('close', () => reader.destroy())
  })
  return listen(scope, server)
}

function answerHttp2(random: SeededRandom, socket: TLSSocket, id: number): void {
  const act = random.pick([
    'answer',
    'answer',
    'answer',
    'perturbed',
    'perturbed',
    'mutated',
    'reset',
    'goaway',
    'frames',
    'destroy',
    'silent',
  ] as const)
  const echo = random.happens(0.1) ? [['x-echo', `Bearer ${SECRET}`] as const] : []
  const frames = randomAnswerFrames(random, id, act === 'answer' ? echo : [])
  switch (act) {
    case 'answer':
      socket.write(Buffer.concat(frames))
      if (random.happens(0.2)) socket.write(resetFrame(id, random.pick([0, 1, 7, 8])))
      return
    case 'perturbed':
      socket.write(Buffer.concat(perturbFrames(random, frames, id)))
      return
    case 'mutated':
      socket.write(mutate(random, Buffer.concat(frames)))
      return
    case 'reset':
      socket.write(Buffer.concat([...frames.slice(0, random.below(frames.length)), resetFrame(id, random.below(14))]))
      return
    case 'goaway':
      socket.write(Buffer.concat([...frames, goawayFrame(random.pick([0, id, id + 2, 0x7fff_ffff]), random.below(14))]))
      if (random.happens(0.5)) socket.end()
      return
    case 'frames':
      frames.splice(random.below(frames.length + 1), 0, randomFrame(random), randomSettings(random))
      socket.write(Buffer.concat(frames))
      return
    case 'destroy':
      socket.write(Buffer.concat(frames).subarray(0, random.below(100)))
      socket.destroy()
      return
    case 'silent':
      return
  }
}

/**
 * What is no TLS, or TLS that was changed on its way from `honest`; by the chance that `chanceFor` has for the server name.
 * @param chanceFor undefined for a name that nobody asked for
 */
export function startHostileTls(
  scope: Scope,
  honest: Listening,
  chanceFor: (name: string) => SeededRandom | undefined,
): Promise<Listening> {
  const server = createTcpServer((socket) => {
    socket.setNoDelay(true).once('data', (hello: Buffer) => {
      const [name = ''] = /[a-z0-9]+\.example\.com/.exec(hello.toString('latin1')) ?? []
      const random = chanceFor(name)
      if (random === undefined) socket.destroy()
      else answerHello(random, socket, honest.port, hello)
    })
  })
  return listen(scope, server)
}

function answerHello(random: SeededRandom, socket: Socket, honestPort: number, hello: Buffer): void {
  const act = random.pick(['changed', 'changed', 'changed', 'garbage', 'http', 'end', 'reset'] as const)
  switch (act) {
    case 'changed':
      relayChanged(random, socket, honestPort, hello)
      return
    case 'garbage':
      socket.end(random.bytes(random.below(500)))
      return
    case 'http':
      socket.end(randomAnswer(random))
      return
    case 'end':
      socket.end()
      return
    case 'reset':
      socket.resetAndDestroy()
      return
  }
}

/** Each piece that comes back is changed, or none; the last word is an end. */
function relayChanged(random: SeededRandom, socket: Socket, honestPort: number, hello: Buffer): void {
  const honest = connectTcp(honestPort, '127.0.0.1').on('error', ignore)
  honest.write(hello)
  socket.pipe(honest)
  honest.on('data', (bytes: Buffer) => {
    socket.write(random.happens(0.6) ? mutate(random, bytes) : bytes)
    if (random.happens(0.3)) socket.end()
  })
  honest.once('close', () => socket.destroy())
  socket.once('close', () => honest.destroy())
}

/** The bytes of a connection for one who only listens. */
class Overhearing extends Duplex {
  constructor() {
    super()
    this.on('error', ignore)
  }

  overhear(bytes: Buffer): void {
    if (!this.destroyed) this.push(bytes)
  }

  override _read(): void {}

  override _write(_bytes: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    callback()
  }
}

/** The same request meets the same fate. */
function randomFor(path: string): SeededRandom {
  let hash = 0x811c_9dc5
  for (const character of path) hash = Math.imul(hash ^ character.charCodeAt(0), 0x0100_0193)
  return new SeededRandom(hash)
}

function ignore(): void {}
