// An HTTP/2 origin for tests, over TLS. It remembers every request, and answers by path:
//   /bytes/N   N deterministic bytes                     /upload    SHA-256 and length of the body
//   /trailers  a body, then trailers                     /early     103, then the echo
//   /only      trailers only: one head that ends it      /pipe      the body back as it comes, then trailers
//   /abort/N   announces N bytes, sends half, resets     /cancel    sends half, resets with CANCEL
//   /refuse    an answer before the body, which is never read
//   /silent    no answer at all                          /goaway    the echo, and the connection is closed after it
//   anything else echoes the fields and the length of the body as JSON

import { constants, createSecureServer, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { type Duplex, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { deterministicBytes, digest, type HttpsOrigin, type SeenRequest } from './https-origin.js'
import type { TestCertificate } from './test-ca.js'

/** A request as it came, pseudo fields included. */
export interface SeenHttp2Request extends SeenRequest {
  /** Filled in when they came. */
  trailers: readonly string[]
  /** Whether the client reset the stream. */
  isAborted: boolean
}

export interface Http2Origin extends HttpsOrigin {
  readonly requests: readonly SeenHttp2Request[]
}

type StreamListener = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number, raw: string[]) => void

/** Starts an origin on a free port of 127.0.0.1 that speaks HTTP/2 only. */
export async function startHttp2Origin(certificate: TestCertificate): Promise<Http2Origin> {
  const requests: SeenHttp2Request[] = []
  const sockets = new Set<Duplex>()
  let connections = 0
  const server = createSecureServer(certificate)
  const onStream: StreamListener = (stream, headers, _flags, rawHeaders) => {
    const path = headers[':path'] ?? ''
    const seen = { method: headers[':method'] ?? '', path, rawHeaders, trailers: [] as string[], isAborted: false }
    requests.push(seen)
    stream.on('error', () => {})
    stream.on('aborted', () => {
      seen.isAborted = true
    })
    ;(stream as NodeJS.EventEmitter).on('trailers', (_trailers, _flags, raw: string[]) => {
      seen.trailers = raw
    })
    answer(stream, seen).catch(() => stream.close(constants.NGHTTP2_INTERNAL_ERROR))
  }
  ;(server as NodeJS.EventEmitter).on('stream', onStream)
  server.on('sessionError', () => {})
  server.on('secureConnection', (socket) => {
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

async function answer(stream: ServerHttp2Stream, seen: SeenHttp2Request): Promise<void> {
  const [, verb, argument] = /^\/([a-z]+)(?:\/([0-9]+))?/.exec(seen.path) ?? []
  const count = Number(argument)
  switch (verb) {
    case 'bytes':
      stream.respond({ ':status': 200 })
      return pipeline(Readable.from(deterministicBytes(count)), stream)
    case 'upload':
      stream.respond({ ':status': 200 })
      stream.end(JSON.stringify(await digest(stream)))
      return
    case 'trailers':
    case 'pipe':
      stream.respond({ ':status': 200, trailer: 'x-end' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': 'reached', 'x-echo': echoedSecret(seen) }))
      if (verb === 'pipe') stream.pipe(stream)
      else stream.end('body')
      return
    case 'only':
      stream.respond({ ':status': 200, 'grpc-status': '5' }, { endStream: true })
      return
    case 'refuse':
      stream.respond({ ':status': 413, 'grpc-status': '8' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': 'refused' }))
      stream.end('too large')
      return
    case 'abort':
    case 'cancel':
      // Waiting for trailers that never come: else node ends the body before it resets the stream.
      stream.respond(
        { ':status': 200, ...(verb === 'abort' && { 'content-length': count }) },
        { waitForTrailers: true },
      )
      stream.write(Buffer.alloc(count / 2), () => {
        stream.close(verb === 'abort' ? constants.NGHTTP2_INTERNAL_ERROR : constants.NGHTTP2_CANCEL)
      })
      return
    case 'silent':
      return
    case 'early':
      stream.additionalHeaders({ ':status': 103, link: '</style.css>; rel=preload', 'x-echo': echoedSecret(seen) })
      return echo(stream, seen)
    case 'goaway':
      await echo(stream, seen)
      stream.session?.close()
      return
    default:
      return echo(stream, seen)
  }
}

function echoedSecret({ rawHeaders }: SeenRequest): string {
  return rawHeaders[rawHeaders.indexOf('authorization') + 1] ?? ''
}

async function echo(stream: ServerHttp2Stream, { rawHeaders }: SeenRequest): Promise<void> {
  const { bytes } = await digest(stream)
  stream.respond({ ':status': 200, 'content-type': 'application/json' })
  stream.end(JSON.stringify({ rawHeaders, bytes }))
}
