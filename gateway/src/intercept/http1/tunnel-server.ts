// The HTTP/1.1 end that an intercepted client speaks to, over the decrypted stream of its tunnel.

import { createServer, type IncomingMessage, type Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { encodeRefusal, Refusal } from '../../refusal.js'
import type { Exchanges } from '../exchanges.js'
import { MAX_HTTP_HEAD_BYTES } from '../origin-exchange.js'
import { Http1Connection } from './connection.js'
import { Http1Downstream, type UpgradeSocket } from './downstream.js'
import { watchRequestHeads } from './head-deadline.js'

/** Serves HTTP/1.1 on `secured` until it is closed. */
export function serveHttp1(secured: TLSSocket, exchanges: Exchanges, requestHeadTimeoutMs: number): void {
  const server = createTunnelServer(exchanges, new Http1Connection(secured, exchanges.abortTunnel))
  watchRequestHeads(secured, server, requestHeadTimeoutMs, () => {
    if (exchanges.size === 0)
      refuseUnparsed(secured, new Refusal('head-timeout', 'the request head is late'), exchanges)
    else secured.destroy()
  })
  server.emit('connection', secured)
}

function createTunnelServer(exchanges: Exchanges, connection: Http1Connection): Server {
  // No limit on a whole request: uploads take as long as they take. Nor on the pause between two requests.
  const server = createServer({
    maxHeaderSize: MAX_HTTP_HEAD_BYTES,
    requestTimeout: 0,
    keepAliveTimeout: 0,
    // The check is ours: node's own answer would not say who refused.
    requireHostHeader: false,
  })
  // Node drops fields above this count silently, framing fields included; the head's size is limit enough.
  server.maxHeadersCount = 0
  const serve = (request: IncomingMessage, response: ServerResponse, upgrade?: UpgradeSocket) => {
    if (connection.isLastTaken) return
    if (!response.shouldKeepAlive) connection.takeNoMore()
    exchanges.serve(new Http1Downstream(request, response, connection, upgrade))
  }
  server.on('request', (request, response) => serve(request, response))
  // With these listeners node leaves the answer to us, and ours is the origin's.
  server.on('checkContinue', (request, response) => serve(request, response))
  server.on('checkExpectation', (request, response) => serve(request, response))
  server.on('connect', (_request, socket) =>
    refuseUnparsed(socket, new Refusal('method-not-allowed', 'no CONNECT here'), exchanges),
  )
  server.on('upgrade', (request, socket, rest) => {
    serve(request, responseOver(request, socket), { socket, rest })
  })
  server.on('clientError', (error, socket) => onClientError(error, socket, exchanges))
  return server
}

/** Node hands the bare socket out with an upgrade; what is not upgraded still gets a proper answer. */
function responseOver(request: IncomingMessage, socket: Duplex): ServerResponse {
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  response.assignSocket(socket as TLSSocket)
  socket.on('error', () => {})
  response.once('finish', () => {
    response.detachSocket(socket as TLSSocket)
    // What node's server does at the end of each answer.
    response.emit('close')
    ;(socket as TLSSocket).destroySoon()
  })
  return response
}

/** What the parser refuses gets an answer only where it cannot land inside another one. */
function onClientError(error: NodeJS.ErrnoException, socket: Duplex, exchanges: Exchanges): void {
  const isParserError = error.code?.startsWith('HPE_') === true
  if (!isParserError || !socket.writable) socket.destroy()
  else if (exchanges.size === 0) refuseUnparsed(socket, parserRefusal(error.code), exchanges)
  // The body of a request is broken: its own answer is the place to say so.
  else if (!exchanges.refuseLast(parserRefusal(error.code))) socket.destroy()
}

function parserRefusal(code: string | undefined): Refusal {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new Refusal('head-too-large', `the request head has more than ${MAX_HTTP_HEAD_BYTES} bytes`)
  }
  // A method that node's parser does not know, TRACK among them.
  if (code === 'HPE_INVALID_METHOD') return new Refusal('method-not-allowed', 'the method is not forwarded')
  return new Refusal('bad-request', 'the request is not valid HTTP/1.1')
}

function refuseUnparsed(socket: Duplex, refusal: Refusal, exchanges: Exchanges): void {
  exchanges.noteUnparsed(refusal.code)
  socket.on('error', () => {})
  ;(socket as TLSSocket).end(encodeRefusal(refusal), () => socket.destroy())
}
