// HTTP/2 over a connection that is already there, for tests: a request, and everything that came back for it.

import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2'
import type { TLSSocket } from 'node:tls'

/** Begins HTTP/2 on a connection that agreed to it. */
export function startHttp2(socket: TLSSocket, authority: string): ClientHttp2Session {
  if (socket.alpnProtocol !== 'h2') throw new Error('h2 was not agreed on')
  const session = connectHttp2(`https://${authority}`, { createConnection: () => socket })
  session.on('error', () => {})
  return session
}

/** What came back for one request. */
export interface Http2Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly interim: readonly IncomingHttpHeaders[]
  readonly trailers: IncomingHttpHeaders
  readonly text: string
  /** 0 after a whole answer. */
  readonly resetCode: number
}

/** Sends one request; `body` undefined ends it with its head. */
export function ask(session: ClientHttp2Session, headers: OutgoingHttpHeaders, body?: string): Promise<Http2Answer> {
  const stream = session.request({ ':path': '/', ...headers }, { endStream: body === undefined })
  if (body !== undefined) stream.end(body)
  return answerOf(stream)
}

/** Reads the answer to its end; a reset is an end too. */
export function answerOf(stream: ClientHttp2Stream): Promise<Http2Answer> {
  let headers: IncomingHttpHeaders = {}
  let trailers: IncomingHttpHeaders = {}
  let text = ''
  const interim: IncomingHttpHeaders[] = []
  stream.on('headers', (received) => interim.push(received))
  stream.on('response', (received) => {
    headers = received
  })
  stream.on('trailers', (received) => {
    trailers = received
  })
  stream.setEncoding('utf8')
  stream.on('data', (piece: string) => {
    text += piece
  })
  stream.on('error', () => {})
  return new Promise((resolve) => {
    stream.once('close', () => {
      const status = Number(headers[':status'] ?? 0)
      resolve({ status, headers, interim, trailers, text, resetCode: stream.rstCode })
    })
  })
}
