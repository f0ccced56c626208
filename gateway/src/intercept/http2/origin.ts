// Sends a request to an HTTP/2 origin, over the one session that its tunnel has.

import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { type Authority, formatAuthority } from 'ccr-upstream-proxy/protocol'
import type { RawFields } from '../../fields.js'
import { Refusal } from '../../refusal.js'
import {
  hasBody,
  InterimCounter,
  type OriginExchange,
  type OriginResponse,
  type SendOptions,
  uploadBody,
} from '../origin-exchange.js'
import { hostField, type OriginRequest } from '../origin-request.js'
import { splitPseudo, toHeaders } from './fields.js'
import { SESSION_OPTIONS, widenConnectionWindow } from './settings.js'

const { NGHTTP2_CANCEL, NGHTTP2_FLAG_END_STREAM, NGHTTP2_NO_ERROR, NGHTTP2_PROTOCOL_ERROR } = constants

/** Starts HTTP/2 on a connection that agreed to it. */
export function openHttp2Session(socket: TLSSocket, authority: Authority): ClientHttp2Session {
  const session = connect(`https://${formatAuthority(authority)}`, {
    ...SESSION_OPTIONS,
    createConnection: () => socket,
  })
  // Every request hears of it; alone it must not end the process.
  session.on('error', () => {})
  session.on('timeout', closeIdleSession)
  widenConnectionWindow(session)
  return session
}

/** One for the life of the session: `setTimeout` with a callback would add one each time that it falls idle. */
function closeIdleSession(this: ClientHttp2Session): void {
  this.close()
}

/** How long a session may lie unused: what stands between may forget it, and does not say so. */
const IDLE_SESSION_MS = 60_000

/** Requests under way, of the sessions that have carried any. */
const openRequests = new WeakMap<ClientHttp2Session, number>()

function countRequest(session: ClientHttp2Session, change: 1 | -1): void {
  const open = (openRequests.get(session) ?? 0) + change
  openRequests.set(session, open)
  // While one is open, silence is its own affair: event streams have long pauses.
  session.setTimeout(open > 0 ? 0 : IDLE_SESSION_MS)
}

/** Sends `request` as a stream of `session`. */
export function sendHttp2(
  request: OriginRequest,
  authority: Authority,
  session: ClientHttp2Session,
  options: SendOptions,
): OriginExchange {
  const isReused = openRequests.has(session)
  const stream = openStream(request, authority, session)
  countRequest(session, 1)
  stream.once('close', () => countRequest(session, -1))
  const response = awaitResponse(stream, request, options)
  if (hasBody(request)) sendBody(stream, request, options)
  return { response, isReused, destroy: () => stream.close(NGHTTP2_CANCEL) }
}

/** @throws {Refusal} when node takes the fields for none that HTTP/2 can carry */
function openStream(request: OriginRequest, authority: Authority, session: ClientHttp2Session): ClientHttp2Stream {
  const { method, target, fields, injected, bodyLength, wantsTrailers } = request
  const headers = toHeaders(
    [
      ...[':method', method, ':scheme', 'https', ':authority', hostField(authority), ':path', target],
      ...fields,
      ...(typeof bodyLength === 'number' ? ['content-length', String(bodyLength)] : []),
      ...(wantsTrailers ? ['te', 'trailers'] : []),
    ],
    injected,
  )
  try {
    return session.request(headers, { endStream: !hasBody(request), waitForTrailers: hasBody(request) })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_HTTP2_HEADER_SINGLE_VALUE') throw error
    throw new Refusal('bad-request', 'a field that may stand there once came twice')
  }
}

function sendBody(stream: ClientHttp2Stream, request: OriginRequest, options: SendOptions): void {
  let trailers: string[] | undefined
  // Node ends what is reset, too; without the trailers that end is not sent, and a cut upload stays one.
  stream.once('wantTrailers', () => {
    if (trailers !== undefined) stream.sendTrailers(toHeaders(trailers))
  })
  const end = (received: string[]) => {
    trailers = received
    stream.end()
  }
  uploadBody(request, stream, options, { end, abort: () => stream.close(NGHTTP2_CANCEL) })
}

function awaitResponse(
  stream: ClientHttp2Stream,
  request: OriginRequest,
  { responseHeadTimeoutMs, onInterim }: SendOptions,
): Promise<OriginResponse> {
  const interim = new InterimCounter(onInterim)
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined
    let trailers: RawFields = []
    const fail = (error: unknown) => {
      reject(error)
      stream.close(NGHTTP2_CANCEL)
    }
    stream.once('finish', () => {
      timer = setTimeout(() => {
        fail(new Refusal('response-timeout', `the origin did not answer in ${responseHeadTimeoutMs} ms`))
      }, responseHeadTimeoutMs)
    })
    onRaw(stream, 'headers', (headers, _flags, raw) => {
      try {
        interim.take(headers[':status'] as unknown as number, splitPseudo(raw).regular)
      } catch (error) {
        fail(error)
      }
    })
    onRaw(stream, 'response', (headers, flags, raw) => {
      clearTimeout(timer)
      resolve({
        status: headers[':status'] as unknown as number,
        reason: '',
        fields: splitPseudo(raw).regular,
        hasBody: (flags & NGHTTP2_FLAG_END_STREAM) === 0 && request.method !== 'HEAD',
        body: stream,
        isBodyWhole: () => stream.rstCode === NGHTTP2_NO_ERROR && !stream.aborted,
        trailers: () => trailers,
      })
    })
    onRaw(stream, 'trailers', (_headers, _flags, raw) => {
      trailers = raw
    })
    stream.on('error', (error) => reject(streamRefusal(stream, error)))
    stream.once('close', () => {
      clearTimeout(timer)
      // After a response nobody hears this.
      reject(streamRefusal(stream))
    })
  })
}

/** nghttp2 resets a stream whose answer breaks the rules of RFC 9113, section 8.1.1, with this code. */
function streamRefusal(stream: ClientHttp2Stream, error?: Error): unknown {
  if (stream.rstCode === NGHTTP2_PROTOCOL_ERROR) {
    return new Refusal('response-invalid', "the origin's answer is not valid HTTP/2")
  }
  return error ?? new Refusal('connection-closed', 'the origin closed the stream')
}

/** Node gives the list of fields as they came to every one of these events; its types say so of none. */
function onRaw(
  stream: ClientHttp2Stream,
  event: 'headers' | 'response' | 'trailers',
  listener: (headers: IncomingHttpHeaders, flags: number, rawHeaders: RawFields) => void,
): void {
  ;(stream as NodeJS.EventEmitter).on(event, listener)
}
