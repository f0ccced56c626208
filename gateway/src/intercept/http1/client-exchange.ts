// One HTTP/1.1 request of an intercepted client, as exchange.ts sees it, and the framing of its answer.

import { endToEndFields, type RawFields, trailerFields, valuesOf } from '../../fields.js'
import { Refusal, refusalBody, refusalHeaders } from '../../refusal.js'
import type { AnswerHead, ClientExchange, ClientHandler, HandedOver } from '../client-exchange.js'
import type { BodyLength, RequestHead } from '../request-head.js'
import { encodeAnswerHead, encodeFields } from './encode-head.js'
import { keepsAlive, upgradeOf } from './request-head.js'
import type { Http1RequestHead } from './request-parser.js'

/** What a request needs of the connection that it came over. */
export interface Http1Link {
  /** False when no more should be written until a drain; `onWritten` when the connection took it. */
  write(bytes: Buffer, onWritten: () => void): boolean
  pauseReading(): void
  resumeReading(): void
  /** From here on what comes is handed over as it is. */
  switchToRaw(): void
  /** Nothing more is written: a FIN. */
  finishWriting(): void
  /** The answer is handed over; the connection takes the next request, or is closed after what was written. */
  release(isReusable: boolean): void
  /** Ends the tunnel in a way that no client takes for a clean end. */
  abort(): void
}

/** How the end of the answer is found. */
type AnswerFraming = 'none' | 'sized' | 'chunked' | 'until-close'

export class Http1ClientExchange implements ClientExchange {
  readonly #head: Http1RequestHead
  readonly #bodyLength: BodyLength | Refusal
  readonly #link: Http1Link
  #handler: ClientHandler | undefined
  #isRequestWhole = false
  #isReusable: boolean
  #framing: AnswerFraming = 'none'
  #unwritten = 0
  #isEnded = false
  #isSwitched = false

  /** @param bodyLength a refusal when the head's framing is none that can be trusted */
  constructor(head: Http1RequestHead, bodyLength: BodyLength | Refusal, link: Http1Link) {
    this.#head = head
    this.#bodyLength = bodyLength
    this.#link = link
    this.#isReusable = keepsAlive(head)
  }

  get method(): string {
    return this.#head.method
  }

  get target(): string {
    return this.#head.target
  }

  readHead(): RequestHead {
    const { method, target, fields } = this.#head
    const bodyLength = this.#bodyLength
    if (bodyLength instanceof Refusal) throw bodyLength
    const [host, ...others] = valuesOf(fields, 'host')
    // RFC 9112, section 3.2.
    if (host === undefined || others.length > 0) throw new Refusal('bad-request', 'not exactly one Host field')
    const upgrade = upgradeOf(this.#head, bodyLength)
    return { method, target, hosts: [host], fields, bodyLength, ...(upgrade !== undefined && { upgrade }) }
  }

  start(handler: ClientHandler): void {
    this.#handler = handler
  }

  pauseBody(): void {
    this.#link.pauseReading()
  }

  resumeBody(): void {
    this.#link.resumeReading()
  }

  // -- What comes ----------------------------------------------------------------------------------------------------

  onData(bytes: Buffer): void {
    this.#handler?.clientOnData(bytes)
  }

  onRequestEnd(trailers: RawFields): void {
    this.#isRequestWhole = true
    this.#handler?.clientOnEnd(trailers)
  }

  onFailure(refusal: Refusal): void {
    this.#isReusable = false
    this.#handler?.clientOnFailure(refusal)
  }

  onDrain(): void {
    if (!this.#isEnded) this.#handler?.clientOnDrain()
  }

  /** The client sends no more. */
  onFin(): void {
    this.#isReusable = false
    if (this.#isSwitched) this.#handler?.clientOnEnd([])
    else if (!this.#isRequestWhole) this.#close('in-part')
  }

  /** The connection is gone. */
  onGone(): void {
    if (this.#isSwitched) this.#close('to-its-end')
    else this.#close(this.#unwritten === 0 ? 'so-far' : 'in-part')
  }

  // -- The answer ----------------------------------------------------------------------------------------------------

  sendInterim(status: number, fields: RawFields): void {
    if (this.#head.minorVersion === 0) return
    this.#write(encodeAnswerHead(status, INTERIM_REASONS[status] ?? 'Interim', endToEndFields(fields, isAny)))
  }

  sendHead({ status, reason, fields, hasBody }: AnswerHead): void {
    this.#framing = this.#framingOf(fields, hasBody)
    // RFC 9112, section 9.3: what is left of a request that was answered early is in the way of the next one.
    if (!this.#isRequestWhole || this.#framing === 'until-close') this.#isReusable = false
    // Trailers only come with chunks (RFC 9112, section 7.1.2).
    const kept = endToEndFields(fields, (field) => field !== 'trailer' || this.#framing === 'chunked')
    if (this.#framing === 'chunked') kept.push('Transfer-Encoding', 'chunked')
    if (!this.#isReusable) kept.push('Connection', 'close')
    this.#write(encodeAnswerHead(status, reason, kept))
  }

  #framingOf(fields: RawFields, hasBody: boolean): AnswerFraming {
    if (!hasBody) return 'none'
    if (valuesOf(fields, 'content-length').length > 0) return 'sized'
    return this.#head.minorVersion === 1 ? 'chunked' : 'until-close'
  }

  write(bytes: Buffer): boolean {
    if (this.#isSwitched) return this.#write(bytes)
    if (this.#framing === 'none' || bytes.length === 0) return true
    if (this.#framing !== 'chunked') return this.#write(bytes)
    return this.#write(Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, CRLF]))
  }

  end(trailers: RawFields): void {
    if (this.#isSwitched) {
      this.#link.finishWriting()
      return
    }
    if (this.#framing === 'chunked') {
      this.#write(Buffer.from(`0\r\n${encodeFields(trailerFields(trailers, isAny))}\r\n`, 'latin1'))
    }
    this.#endAnswer()
  }

  refuse(refusal: Refusal): void {
    // RFC 9112, section 9.6: after `close` no further request is answered.
    this.#isReusable = false
    const body = this.method === 'HEAD' ? '' : refusalBody(refusal)
    this.#write(
      Buffer.concat([encodeAnswerHead(refusal.status, refusal.reason, refusalHeaders(refusal)), Buffer.from(body)]),
    )
    this.#endAnswer()
  }

  giveBack(refusal: Refusal): number {
    this.refuse(refusal)
    return refusal.status
  }

  cutOff(): void {
    this.#link.abort()
  }

  switchProtocols(fields: RawFields): void {
    this.#isSwitched = true
    this.#isReusable = false
    // One write: some clients take a 101 that comes in pieces for a broken one.
    const kept = [...endToEndFields(fields, isAny), 'Connection', 'Upgrade', 'Upgrade', 'websocket']
    this.#write(encodeAnswerHead(101, 'Switching Protocols', kept))
    this.#link.switchToRaw()
  }

  #write(bytes: Buffer): boolean {
    this.#unwritten++
    return this.#link.write(bytes, () => {
      this.#unwritten--
      if (this.#isEnded && this.#unwritten === 0) this.#close('to-its-end')
    })
  }

  #endAnswer(): void {
    this.#isEnded = true
    if (this.#unwritten === 0) this.#close('to-its-end')
  }

  #close(handedOver: HandedOver): void {
    const handler = this.#handler
    this.#handler = undefined
    if (handler === undefined) return
    handler.clientOnClose(handedOver)
    this.#link.release(handedOver === 'to-its-end' && this.#isReusable && this.#isRequestWhole)
  }
}

const CRLF = Buffer.from('\r\n')

const INTERIM_REASONS: Readonly<Record<number, string>> = {
  100: 'Continue',
  102: 'Processing',
  103: 'Early Hints',
}

function isAny(): boolean {
  return true
}
