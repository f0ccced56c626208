// One HTTP/2 request of an intercepted client, as exchange.ts sees it.

import { constants, type ServerHttp2Stream } from 'node:http2'
import type { AuditErrorCode } from '../../audit/audit-record.js'
import { endToEndFields, type RawFields, trailerFields, valuesOf } from '../../fields.js'
import type { Guard } from '../../guard.js'
import { Refusal, refusalBody, refusalHeaders } from '../../refusal.js'
import type { AnswerHead, ClientExchange, ClientHandler, HandedOver } from '../client-exchange.js'
import { MAX_REQUEST_HEAD_BYTES } from '../origin-exchange.js'
import type { BodyLength, RequestHead } from '../request-head.js'
import { watchEndOfStream } from './end-of-stream.js'
import { joinCookies, splitPseudo, toHeaders } from './fields.js'
import { keepSessionFor } from './native-lifetime.js'

const {
  HTTP_STATUS_RESET_CONTENT,
  NGHTTP2_ENHANCE_YOUR_CALM,
  NGHTTP2_FLAG_END_STREAM,
  NGHTTP2_INTERNAL_ERROR,
  NGHTTP2_NO_ERROR,
  NGHTTP2_PROTOCOL_ERROR,
  NGHTTP2_REFUSED_STREAM,
} = constants

/** What nghttp2 and node reset a stream for: a request that breaks RFC 9113, section 8.1.1, and one with too many fields. */
const RESET_REASONS: Readonly<Record<number, AuditErrorCode>> = {
  [NGHTTP2_PROTOCOL_ERROR]: 'client-protocol-error',
  [NGHTTP2_ENHANCE_YOUR_CALM]: 'head-too-large',
}

/** Dates are the origin's to give; node's types do not have the option. */
const NO_DATE: object = { sendDate: false }

export class Http2ClientExchange implements ClientExchange {
  readonly #stream: ServerHttp2Stream
  readonly #guard: Guard
  readonly #pseudo: ReadonlyMap<string, string>
  readonly #fields: RawFields
  readonly #isBodyless: boolean
  #requestTrailers: RawFields = []
  #answerTrailers: RawFields = []
  #isEnded = false
  /** END_STREAM is on its way: a client that leaves when it comes may do so before the stream has reported its own end. */
  #isSent = false
  /** Writes of the answer that are not on their way yet. */
  #unwritten = 0

  constructor(stream: ServerHttp2Stream, flags: number, rawHeaders: RawFields, guard: Guard) {
    this.#stream = stream
    this.#guard = guard
    this.#isBodyless = (flags & NGHTTP2_FLAG_END_STREAM) !== 0
    const { pseudo, regular } = splitPseudo(rawHeaders)
    this.#pseudo = pseudo
    this.#fields = regular
  }

  get method(): string {
    return this.#pseudo.get(':method') ?? ''
  }

  get target(): string {
    return this.#pseudo.get(':path') ?? ''
  }

  readHead(): RequestHead {
    if (this.method.toUpperCase() !== 'CONNECT' && this.#pseudo.get(':scheme') !== 'https') {
      throw new Refusal('bad-request', 'the scheme is not https')
    }
    // RFC 9113, section 8.3.1: Host may stand in for :authority.
    const authority = this.#pseudo.get(':authority')
    const [host, ...others] = [...(authority === undefined ? [] : [authority]), ...valuesOf(this.#fields, 'host')]
    if (host === undefined) throw new Refusal('bad-request', 'the request has neither :authority nor Host')
    if (sizeOf(this.#fields) > MAX_REQUEST_HEAD_BYTES) {
      throw new Refusal('head-too-large', `the request's head has more than ${MAX_REQUEST_HEAD_BYTES} bytes`)
    }
    return {
      method: this.method,
      target: this.target,
      hosts: [host, ...others],
      fields: joinCookies(this.#fields),
      bodyLength: this.#bodyLength(),
    }
  }

  #bodyLength(): BodyLength {
    if (this.#isBodyless) return 'none'
    const lengths = valuesOf(this.#fields, 'content-length')
    if (lengths.length === 0) return 'unknown'
    if (lengths.length > 1 || !/^[0-9]{1,15}$/.test(lengths[0] as string)) {
      throw new Refusal('bad-request', 'content-length is not one number')
    }
    return Number(lengths[0])
  }

  start(handler: ClientHandler): void {
    const stream = this.#stream
    const guard = this.#guard
    keepSessionFor(stream)
    stream.pause()
    // Node keeps a stream that the client has closed until all of it is read, and all that it cannot send is sent.
    const drop = guard.wrap(() => void stream.destroy())
    const isWhole = watchEndOfStream(stream, () => process.nextTick(drop))
    guard.on(stream, 'trailers', (_headers, _flags, raw: RawFields) => {
      this.#requestTrailers = raw
    })
    guard.on(stream, 'data', (bytes: Buffer) => handler.clientOnData(bytes))
    guard.once(stream, 'end', () => {
      if (isWhole() && !this.#isBodyless) handler.clientOnEnd(this.#requestTrailers)
    })
    guard.on(stream, 'drain', () => handler.clientOnDrain())
    // Node ends what is reset, too; without the trailers that end is not sent, and the reset is what the client sees.
    guard.on(stream, 'wantTrailers', () => this.#sendTrailers())
    guard.once(stream, 'close', () => handler.clientOnClose(this.#handedOver, RESET_REASONS[stream.rstCode ?? 0]))
  }

  pauseBody(): void {
    this.#stream.pause()
  }

  resumeBody(): void {
    this.#stream.resume()
  }

  sendInterim(status: number, fields: RawFields): void {
    if (this.#isClosed || this.#stream.headersSent) return
    this.#stream.additionalHeaders(toHeaders([':status', String(status), ...endToEndFields(fields, isAny)]))
  }

  sendHead({ status, fields, hasBody }: AnswerHead): void {
    if (this.#isClosed) return
    // RFC 9110, section 15.3.6: nor has a 205 one, and node sends none.
    const isLast = !hasBody || status === HTTP_STATUS_RESET_CONTENT
    const headers = toHeaders(isLast && hasBody ? endToEndFields(fields, isNoLength) : fields)
    this.#stream.respond(
      { ...headers, ':status': sendableStatus(status) },
      { ...NO_DATE, endStream: isLast, waitForTrailers: !isLast },
    )
    if (!isLast) return
    this.#isEnded = true
    this.#isSent = true
    this.#stopUpload()
  }

  write(bytes: Buffer): boolean {
    if (this.#isEnded || this.#isClosed) return true
    this.#unwritten++
    return this.#stream.write(bytes, this.#onWritten)
  }

  end(trailers: RawFields): void {
    if (this.#isEnded || this.#isClosed) return
    this.#isEnded = true
    this.#answerTrailers = trailerFields(trailers, isAny)
    this.#stream.end()
  }

  refuse(refusal: Refusal): void {
    if (this.#isClosed) return
    const fields = endToEndFields(refusalHeaders(refusal), isAny)
    this.sendHead({ status: refusal.status, reason: '', fields, hasBody: this.method !== 'HEAD' })
    if (this.#isEnded) return
    this.#isEnded = true
    this.#stream.end(refusalBody(refusal))
  }

  giveBack(): number {
    this.#reset(NGHTTP2_REFUSED_STREAM)
    return 0
  }

  cutOff(): void {
    this.#reset(NGHTTP2_INTERNAL_ERROR)
  }

  #reset(errorCode: number): void {
    this.#stream.close(errorCode)
    // Without a reader node keeps a stream open that is closed.
    this.#stream.resume()
  }

  switchProtocols(): void {
    throw new Error('HTTP/2 has no upgrade')
  }

  readonly #onWritten = (error?: Error | null): void => {
    if (!error) this.#unwritten--
  }

  get #handedOver(): HandedOver {
    if (this.#isSent) return 'to-its-end'
    return this.#unwritten === 0 ? 'so-far' : 'in-part'
  }

  get #isClosed(): boolean {
    return this.#stream.closed || this.#stream.destroyed
  }

  #sendTrailers(): void {
    if (!this.#isEnded) return
    this.#isSent = !this.#isClosed
    this.#stream.sendTrailers(toHeaders(this.#answerTrailers))
    this.#stopUpload()
  }

  /** RFC 9113, section 8.1: the answer is whole, and what is left of the request is not wanted. */
  #stopUpload(): void {
    const stream = this.#stream
    if (this.#isBodyless || stream.readableEnded) return
    stream.resume()
    // Not at once: a reset overtakes what is still to be written.
    setImmediate(this.#guard.wrap(() => stream.close(NGHTTP2_NO_ERROR)))
  }
}

/** Node sends none above 599; RFC 9110, section 15: clients take such a status for a server's error. */
function sendableStatus(status: number): number {
  return status <= 599 ? status : 502
}

/** RFC 9113, section 6.5.2. Node announces the limit and does not keep it. */
function sizeOf(fields: RawFields): number {
  return fields.reduce((sum, text) => sum + text.length, (fields.length / 2) * 32)
}

function isAny(): boolean {
  return true
}

function isNoLength(field: string): boolean {
  return field !== 'content-length'
}
