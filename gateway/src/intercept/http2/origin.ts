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
import type { Guard } from '../../guard.js'
import { originRefusal } from '../../origin/origin-refusal.js'
import { Refusal } from '../../refusal.js'
import { isIdempotent, type OriginExchange, type OriginHandler } from '../origin-exchange.js'
import type { OriginRequest } from '../origin-request.js'
import { hasBody } from '../request-head.js'
import { watchEndOfStream } from './end-of-stream.js'
import { assertSingleFields, splitPseudo, toHeaders } from './fields.js'
import { forgetListenersAtClose, keepSessionFor } from './native-lifetime.js'
import { ORIGIN_SESSION_OPTIONS, widenConnectionWindow } from './settings.js'
import { type FrameHandler, WatchedSocket } from './watched-socket.js'

const { NGHTTP2_CANCEL, NGHTTP2_FLAG_END_STREAM, NGHTTP2_PROTOCOL_ERROR, NGHTTP2_REFUSED_STREAM } = constants

/** How long a session may lie unused: what stands between may forget it, and does not say so. */
const IDLE_SESSION_MS = 60_000

/** An HTTP/2 connection to the origin, and what it carried. */
export class OriginSession {
  readonly #session: ClientHttp2Session
  readonly #open = new Set<Http2OriginExchange>()
  #isUsed = false

  /** Starts HTTP/2 on a connection that agreed to it. */
  constructor(socket: TLSSocket, authority: Authority, guard: Guard) {
    const handler: FrameHandler = {
      connectionOnError: () => {
        this.#session.destroy(new Refusal('response-invalid', 'the origin does not speak valid HTTP/2'))
      },
      connectionOnEnd: (error) => this.#onConnectionEnd(error),
      connectionOnDestroy: (error) => this.#session.destroy(error),
    }
    this.#session = connect(`https://${formatAuthority(authority)}`, {
      ...ORIGIN_SESSION_OPTIONS,
      createConnection: () => new WatchedSocket(socket, false, handler, guard),
    })
    forgetListenersAtClose(this.#session, guard)
    // Every request hears of it; alone it must not end the process.
    guard.ignoreErrors(this.#session)
    guard.on(this.#session, 'timeout', () => this.#session.close())
    widenConnectionWindow(this.#session, guard)
  }

  /** Whether it takes no more requests. */
  get isClosed(): boolean {
    return this.#session.closed || this.#session.destroyed
  }

  destroy(): void {
    this.#session.destroy()
  }

  send(request: OriginRequest, handler: OriginHandler, guard: Guard): OriginExchange {
    const isReused = this.#isUsed
    this.#isUsed = true
    const stream = openStream(request, this.#session)
    const exchange = new Http2OriginExchange(stream, request, isReused, handler, guard)
    this.#open.add(exchange)
    guard.once(stream, 'close', () => {
      this.#open.delete(exchange)
      this.#watchIdle()
    })
    this.#watchIdle()
    return exchange
  }

  /** While a request is open, silence is its own affair: event streams have long pauses. */
  #watchIdle(): void {
    if (!this.isClosed) this.#session.setTimeout(this.#open.size > 0 ? 0 : IDLE_SESSION_MS)
  }

  /** Answers that came whole are read to their end, however slowly; the session ends with the last of them. */
  #onConnectionEnd(error: Error | undefined): void {
    for (const exchange of this.#open) exchange.onConnectionEnd(error)
    this.#session.close()
  }
}

function openStream(request: OriginRequest, session: ClientHttp2Session): ClientHttp2Stream {
  const { method, target, host, fields, injected, bodyLength, wantsTrailers } = request
  assertSingleFields(fields)
  const headers = toHeaders(
    [
      ...[':method', method, ':scheme', 'https', ':authority', host, ':path', target],
      ...fields,
      ...(typeof bodyLength === 'number' ? ['content-length', String(bodyLength)] : []),
      ...(wantsTrailers ? ['te', 'trailers'] : []),
    ],
    injected,
  )
  return session.request(headers, { endStream: !hasBody(request), waitForTrailers: hasBody(request) })
}

class Http2OriginExchange implements OriginExchange {
  readonly #stream: ClientHttp2Stream
  readonly #request: OriginRequest
  readonly #isReused: boolean
  readonly #isWhole: () => boolean
  /** Undefined when nothing more is reported. */
  #handler: OriginHandler | undefined
  #requestTrailers: RawFields | undefined
  #answerTrailers: RawFields = []
  #isAnswered = false

  constructor(
    stream: ClientHttp2Stream,
    request: OriginRequest,
    isReused: boolean,
    handler: OriginHandler,
    guard: Guard,
  ) {
    this.#stream = stream
    this.#request = request
    this.#isReused = isReused
    this.#handler = handler
    this.#isWhole = watchEndOfStream(stream)
    // The first request of a session is there before its connection is.
    if (stream.pending) guard.once(stream, 'ready', () => keepSessionFor(stream))
    else keepSessionFor(stream)
    stream.pause()
    onRaw(guard, stream, 'headers', (headers, _flags, raw) => {
      this.#handler?.originOnInterim(statusOf(headers), splitPseudo(raw).regular)
    })
    onRaw(guard, stream, 'response', (headers, flags, raw) => this.#onAnswer(headers, flags, raw))
    onRaw(guard, stream, 'trailers', (_headers, _flags, raw) => {
      this.#answerTrailers = raw
    })
    // Node ends what is reset, too; without the trailers that end is not sent, and a cut upload stays one.
    guard.once(stream, 'wantTrailers', () => {
      if (this.#requestTrailers !== undefined) stream.sendTrailers(toHeaders(this.#requestTrailers))
    })
    guard.on(stream, 'data', (bytes: Buffer) => this.#handler?.originOnData(bytes))
    guard.on(stream, 'drain', () => this.#handler?.originOnDrain())
    guard.once(stream, 'end', () => this.#onEnd())
    guard.on(stream, 'error', (error: Error) => this.#fail(error))
    guard.once(stream, 'close', () => this.#fail(connectionClosed()))
    process.nextTick(guard.wrap(() => this.#handler?.originOnOpen()))
  }

  write(bytes: Buffer): boolean {
    return this.#stream.write(bytes)
  }

  end(trailers: RawFields): void {
    this.#requestTrailers = trailers
    if (hasBody(this.#request)) this.#stream.end()
  }

  pauseBody(): void {
    this.#stream.pause()
  }

  resumeBody(): void {
    this.#stream.resume()
  }

  destroy(): void {
    this.#handler = undefined
    this.#stream.close(NGHTTP2_CANCEL)
    // Without a reader node keeps a stream open that is closed.
    this.#stream.resume()
  }

  /** Nothing more comes. */
  onConnectionEnd(error: Error | undefined): void {
    if (this.#isWhole()) return
    this.#fail(error ?? connectionClosed())
    this.#stream.destroy()
  }

  #onAnswer(headers: IncomingHttpHeaders, flags: number, raw: RawFields): void {
    this.#isAnswered = true
    this.#handler?.originOnAnswer({
      status: statusOf(headers),
      reason: '',
      fields: splitPseudo(raw).regular,
      hasBody: (flags & NGHTTP2_FLAG_END_STREAM) === 0 && this.#request.method !== 'HEAD',
      isSwitched: false,
    })
  }

  #onEnd(): void {
    if (!this.#isWhole()) return
    const handler = this.#handler
    this.#handler = undefined
    handler?.originOnEnd(this.#answerTrailers)
  }

  #fail(error: unknown): void {
    const handler = this.#handler
    this.#handler = undefined
    const { rstCode } = this.#stream
    // nghttp2 resets a stream with this code when its answer breaks the rules of RFC 9113, section 8.1.1.
    const refusal =
      rstCode === NGHTTP2_PROTOCOL_ERROR
        ? new Refusal('response-invalid', "the origin's answer is not valid HTTP/2")
        : originRefusal(error)
    // RFC 9113, section 8.7; nghttp2 gives it to streams above the last one of a GOAWAY too (section 6.8).
    if (rstCode === NGHTTP2_REFUSED_STREAM) {
      handler?.originOnFailure(refusal, 'nothing')
      return
    }
    const isStale = this.#isReused && !this.#isAnswered && refusal.code === 'connection-closed'
    handler?.originOnFailure(refusal, isStale && isIdempotent(this.#request.method) ? 'repeatable' : 'unknown')
  }
}

function connectionClosed(): Refusal {
  return new Refusal('connection-closed', 'the origin closed the connection or the stream')
}

function statusOf(headers: IncomingHttpHeaders): number {
  return headers[':status'] as unknown as number
}

/** Node gives the list of fields as they came to every one of these events; its types say so of none. */
function onRaw(
  guard: Guard,
  stream: ClientHttp2Stream,
  event: 'headers' | 'response' | 'trailers',
  listener: (headers: IncomingHttpHeaders, flags: number, rawHeaders: RawFields) => void,
): void {
  guard.on(stream, event, listener)
}
