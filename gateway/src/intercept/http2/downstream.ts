// One HTTP/2 request of an intercepted client, as exchange.ts sees it.

import { constants, type ServerHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'
import { endToEndFields, type RawFields, trailerFields, valuesOf } from '../../fields.js'
import { Refusal, refusalBody, refusalHeaders } from '../../refusal.js'
import type { BodyLength, Downstream, RequestHead, ResponseHead } from '../downstream.js'
import { MAX_HTTP_HEAD_BYTES } from '../origin-exchange.js'
import { joinCookies, splitPseudo, toHeaders, withoutRepetitions } from './fields.js'

const { NGHTTP2_FLAG_END_STREAM, NGHTTP2_INTERNAL_ERROR, NGHTTP2_NO_ERROR } = constants

/** Dates are the origin's to give; node's types do not have the option. */
const NO_DATE: object = { sendDate: false }

export class Http2Downstream implements Downstream {
  readonly closed: Promise<boolean>
  readonly #stream: ServerHttp2Stream
  readonly #pseudo: ReadonlyMap<string, string>
  readonly #fields: RawFields
  readonly #isBodyless: boolean
  #requestTrailers: RawFields = []
  #responseTrailers: string[] = []
  #isEnded = false
  /** END_STREAM is on its way: who leaves when it comes may do so before the stream has told its own end. */
  #isSent = false
  #status = 0

  constructor(stream: ServerHttp2Stream, flags: number, rawHeaders: RawFields) {
    this.#stream = stream
    this.#isBodyless = (flags & NGHTTP2_FLAG_END_STREAM) !== 0
    const { pseudo, regular } = splitPseudo(rawHeaders)
    this.#pseudo = pseudo
    this.#fields = regular
    // A reset shows in rstCode; alone it must not end the process.
    stream.on('error', () => {})
    ;(stream as NodeJS.EventEmitter).on('trailers', (_headers, _flags, raw: RawFields) => {
      this.#requestTrailers = raw
    })
    // Node ends what is reset, too; without the trailers that end is not sent, and the reset is what the client sees.
    stream.on('wantTrailers', () => {
      if (!this.#isEnded) return
      this.#isSent = !this.isClosed
      stream.sendTrailers(toHeaders(this.#responseTrailers))
      this.#stopUpload()
    })
    this.closed = new Promise((resolve) => {
      stream.once('close', () => resolve(this.#isSent || (this.#isEnded && stream.rstCode === NGHTTP2_NO_ERROR)))
    })
  }

  get method(): string {
    return this.#pseudo.get(':method') ?? ''
  }

  get target(): string {
    return this.#pseudo.get(':path') ?? ''
  }

  readHead(): RequestHead {
    const authority = this.#pseudo.get(':authority')
    if (this.method !== 'CONNECT' && this.#pseudo.get(':scheme') !== 'https') {
      throw new Refusal('bad-request', 'the scheme is not https')
    }
    // RFC 9113, section 8.3.1, lets Host stand in; what has two places to say it is asked to use the right one.
    if (authority === undefined) throw new Refusal('bad-request', 'the request has no :authority')
    if (sizeOf(this.#fields) > MAX_HTTP_HEAD_BYTES) {
      throw new Refusal('head-too-large', `the request head has more than ${MAX_HTTP_HEAD_BYTES} bytes`)
    }
    return {
      method: this.method,
      target: this.target,
      hosts: [authority, ...valuesOf(this.#fields, 'host')],
      fields: joinCookies(this.#fields),
      bodyLength: this.#bodyLength(),
    }
  }

  #bodyLength(): BodyLength {
    if (this.#isBodyless) return 'none'
    const [length] = valuesOf(this.#fields, 'content-length')
    if (length === undefined) return 'unknown'
    if (!/^[0-9]{1,15}$/.test(length)) throw new Refusal('bad-request', 'content-length is not one number')
    return Number(length)
  }

  get body(): ServerHttp2Stream {
    return this.#stream
  }

  get isBodyWhole(): boolean {
    return this.#stream.rstCode === NGHTTP2_NO_ERROR && !this.#stream.aborted
  }

  get trailers(): RawFields {
    return this.#requestTrailers
  }

  get status(): number {
    return this.#status
  }

  get isClosed(): boolean {
    return this.#stream.closed || this.#stream.destroyed
  }

  get sink(): ServerHttp2Stream {
    return this.#stream
  }

  sendInterim(status: number, fields: RawFields): void {
    if (this.isClosed || this.#stream.headersSent) return
    this.#stream.additionalHeaders(
      toHeaders([':status', String(status), ...withoutRepetitions(endToEndFields(fields, isAny))]),
    )
  }

  sendHead({ status, fields, hasBody }: ResponseHead): void {
    this.#status = status
    const headers = toHeaders([':status', String(status), ...withoutRepetitions(fields)])
    this.#stream.respond(headers, { ...NO_DATE, endStream: !hasBody, waitForTrailers: hasBody })
    if (hasBody) return
    this.#isEnded = true
    this.#isSent = true
    this.#stopUpload()
  }

  end(trailers: RawFields): void {
    this.#isEnded = true
    this.#responseTrailers = withoutRepetitions(trailerFields(trailers, isAny))
    this.#stream.end()
  }

  refuse(refusal: Refusal): void {
    const fields = endToEndFields(refusalHeaders(refusal), isAny)
    this.sendHead({ status: refusal.status, reason: '', fields, hasBody: true })
    this.#isEnded = true
    this.#stream.end(refusalBody(refusal))
  }

  /** RFC 9113, section 8.1: the answer is whole, and what is left of the request is not wanted. */
  #stopUpload(): void {
    const stream = this.#stream
    if (this.#isBodyless || stream.readableEnded) return
    stream.resume()
    // Not at once: a reset overtakes what is still to be written.
    setImmediate(() => stream.close(NGHTTP2_NO_ERROR))
  }

  cutOff(): void {
    this.#stream.close(NGHTTP2_INTERNAL_ERROR)
  }

  switchProtocols(): Duplex {
    throw new Error('HTTP/2 has no upgrade')
  }
}

/** RFC 9113, section 6.5.2. Node announces the limit and does not keep it. */
function sizeOf(fields: RawFields): number {
  return fields.reduce((sum, text) => sum + text.length, (fields.length / 2) * 32)
}

function isAny(): boolean {
  return true
}
