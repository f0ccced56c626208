// What an origin answers by path, over HTTP/1.1 and HTTP/2:
//   /bytes/N    N deterministic bytes, with Content-Length      /chunked/N  the same, without
//   /upload     SHA-256 and length of the body                  /slowly     the same, read slower than it comes
//   /abort/N    announces N bytes, sends half, dies             /cancel/N   the same, reset with CANCEL (HTTP/2)
//   /status/N   an empty answer with that status                /silent     no answer at all
//   /head       the head of an answer, and nothing more         /early      103, then the echo
//   /events     the first event of an event stream, which stays open
//   /redirect   302 to https://plain.example.com/next
//   /trailers   a body, then trailers                           /pipe       the body back as it comes, then trailers
//   /only       a head with what else stands in trailers        /refuse     413 with trailers; the body is never read
//   /goaway     the echo, then the connection is closed (HTTP/2)
//   /stale      dies when it is not the first request of its connection
//   anything else echoes method, path, fields and length of the body as JSON
// A request with `Expect: 100-continue` is continued for /expect, as for /upload, and else answered 417.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { constants, type Http2ServerResponse, type ServerHttp2Stream } from 'node:http2'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { deterministicBytes, digest, slowly } from './deterministic-bytes.js'

/** Connections that have carried a request. */
const usedConnections = new WeakSet<object>()

export function answerByPath(request: IncomingMessage, response: ServerResponse): void {
  answer(request, response).catch(() => response.destroy())
}

export function answerExpectation(request: IncomingMessage, response: ServerResponse): void {
  if (request.url !== '/expect') {
    response.writeHead(417, { 'Content-Length': 0 }).end()
    return
  }
  response.writeContinue()
  answerDigest(request, response).catch(() => response.destroy())
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const isFirst = !usedConnections.has(request.socket)
  usedConnections.add(request.socket)
  const [, verb, argument] = /^\/([a-z]+)(?:\/([0-9]+))?/.exec(request.url ?? '') ?? []
  const count = Number(argument)
  switch (verb) {
    case 'bytes':
      response.writeHead(200, { 'Content-Length': count })
      return pipeline(Readable.from(deterministicBytes(count)), response)
    case 'chunked':
      return pipeline(Readable.from(deterministicBytes(count)), response)
    case 'upload':
      return answerDigest(request, response)
    case 'slowly':
      return answerDigest(slowly(request), response)
    case 'abort':
      response.writeHead(200, { 'Content-Length': count })
      response.write(Buffer.alloc(count / 2), () => abort(request, response, constants.NGHTTP2_INTERNAL_ERROR))
      return
    case 'cancel':
      response.write(Buffer.alloc(count / 2), () => abort(request, response, constants.NGHTTP2_CANCEL))
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
    case 'trailers':
    case 'pipe':
      response.writeHead(200, { Trailer: 'x-end' })
      response.addTrailers({ 'x-end': 'reached', 'x-echo': request.headers.authorization ?? '' })
      if (verb === 'trailers') response.end('body')
      else request.pipe(response)
      return
    case 'only':
      response.setHeader('grpc-status', '5')
      response.end()
      return
    case 'refuse':
      response.writeHead(413, { Trailer: 'x-end', 'grpc-status': '8' })
      response.addTrailers({ 'x-end': 'refused' })
      response.end('too large')
      return
    case 'goaway':
      await echo(request, response)
      http2StreamOf(response)?.session?.close()
      return
    case 'stale':
      if (!isFirst) request.socket.destroy()
      else await echo(request, response)
      return
    default:
      return echo(request, response)
  }
}

function http2StreamOf(response: ServerResponse): ServerHttp2Stream | undefined {
  return (response as unknown as Partial<Http2ServerResponse>).stream
}

function abort(request: IncomingMessage, response: ServerResponse, code: number): void {
  const stream = http2StreamOf(response)
  // Else node sends (no) trailers, and with them the end of the body, before it resets the stream.
  stream?.removeAllListeners('wantTrailers')
  if (stream === undefined) request.socket.destroy()
  else stream.close(code)
}

async function answerDigest(body: AsyncIterable<Uint8Array>, response: ServerResponse): Promise<void> {
  response.end(JSON.stringify(await digest(body)))
}

async function echo(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { bytes } = await digest(request)
  const { method, url: path, rawHeaders, headers } = request
  response.setHeader('Content-Type', 'application/json')
  response.end(JSON.stringify({ method, path, headers, rawHeaders, bytes }))
}
