// Sends a request to an HTTP/1.1 origin over node:http: framing, body, trailers, upgrade; and holds its answer to the rules
// before anything of it is passed on. A request is only ever ended when it was written whole: node gives a connection to the
// next request after that, and after nothing else.

import type { Agent, ClientRequest, IncomingMessage, InformationEvent } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { Duplex } from 'node:stream'
import type { Authority } from 'ccr-upstream-proxy/protocol'
import { fieldPairs, listOf, type RawFields, valuesOf } from '../../fields.js'
import type { Guard } from '../../guard.js'
import { originRefusal } from '../../origin/origin-refusal.js'
import { Refusal } from '../../refusal.js'
import {
  isIdempotent,
  MAX_ANSWER_FIELDS,
  MAX_ANSWER_HEAD_BYTES,
  type OriginAnswer,
  type OriginExchange,
  type OriginHandler,
} from '../origin-exchange.js'
import type { OriginRequest } from '../origin-request.js'
import { hasBody } from '../request-head.js'

/** After a connection that switched protocols is given up: how long what was written may take on its way. */
const LINGER_MS = 10_000

/** Sends `request` over a connection of `agent`. */
export function sendHttp1(
  request: OriginRequest,
  authority: Authority,
  agent: Agent,
  handler: OriginHandler,
  guard: Guard,
): OriginExchange {
  return new Http1OriginExchange(request, authority, agent, handler, guard)
}

class Http1OriginExchange implements OriginExchange {
  readonly #request: OriginRequest
  readonly #outgoing: ClientRequest
  readonly #guard: Guard
  /** Undefined when nothing more is reported. */
  #handler: OriginHandler | undefined
  #answer: IncomingMessage | undefined
  #switched: Duplex | undefined

  constructor(request: OriginRequest, authority: Authority, agent: Agent, handler: OriginHandler, guard: Guard) {
    this.#request = request
    this.#handler = handler
    this.#guard = guard
    this.#outgoing = httpsRequest({
      agent,
      host: authority.host,
      port: authority.port,
      method: request.method,
      path: request.target,
      headers: encodeRequestFields(request),
      maxHeaderSize: MAX_ANSWER_HEAD_BYTES,
    })
    const outgoing = this.#outgoing
    // One above the limit, so that it shows: node drops what is beyond.
    outgoing.maxHeadersCount = MAX_ANSWER_FIELDS + 1
    guard.once(outgoing, 'socket', () => this.#onOpen())
    guard.on(outgoing, 'information', ({ statusCode, rawHeaders }: InformationEvent) => {
      this.#handler?.originOnInterim(statusCode, rawHeaders)
    })
    guard.once(outgoing, 'response', (answer: IncomingMessage) => this.#onAnswer(answer))
    guard.once(outgoing, 'upgrade', (answer: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.#onUpgrade(answer, socket, head)
    })
    guard.on(outgoing, 'drain', () => this.#handler?.originOnDrain())
    guard.on(outgoing, 'error', (error: Error) => this.#onGone(error))
    guard.once(outgoing, 'close', () => this.#onGone(connectionClosed()))
  }

  write(bytes: Buffer): boolean {
    return (this.#switched ?? this.#outgoing).write(bytes)
  }

  end(trailers: RawFields): void {
    if (this.#switched !== undefined) {
      this.#switched.end()
      return
    }
    if (trailers.length > 0 && this.#request.bodyLength === 'unknown') {
      this.#outgoing.addTrailers([...fieldPairs(trailers)])
    }
    this.#outgoing.end()
  }

  pauseBody(): void {
    ;(this.#switched ?? this.#answer)?.pause()
  }

  resumeBody(): void {
    ;(this.#switched ?? this.#answer)?.resume()
  }

  destroy(): void {
    this.#handler = undefined
    const switched = this.#switched
    if (switched === undefined) {
      this.#outgoing.destroy()
      return
    }
    switched.end()
    this.#guard.once(
      switched,
      'close',
      this.#guard.startDeadline(LINGER_MS, () => switched.destroy()),
    )
    switched.resume()
  }

  #onOpen(): void {
    // The head goes ahead: the first bytes of a body may wait for what the origin answers to it.
    if (hasBody(this.#request)) this.#outgoing.flushHeaders()
    this.#handler?.originOnOpen()
  }

  #onAnswer(answer: IncomingMessage): void {
    this.#answer = answer
    answer.pause()
    const { statusCode: status = 0, statusMessage: reason = '', rawHeaders: fields } = answer
    if (!this.#report(() => assertFinal(status, fields))) return
    this.#guard.on(answer, 'data', (bytes: Buffer) => this.#handler?.originOnData(bytes))
    this.#guard.once(answer, 'end', () => this.#onEnd(answer))
    this.#guard.on(answer, 'error', () => this.#onGone(connectionClosed()))
    const hasContent = this.#request.method !== 'HEAD' && status !== 204 && status !== 304
    this.#handler?.originOnAnswer({ status, reason, fields, hasBody: hasContent, isSwitched: false })
  }

  #onEnd(answer: IncomingMessage): void {
    const handler = this.#handler
    if (!answer.complete || handler === undefined) return
    this.#handler = undefined
    // Node would keep the connection until the origin, which has said its last word, took the rest.
    if (!this.#outgoing.writableFinished) this.#outgoing.destroy()
    handler.originOnEnd(answer.rawTrailers)
  }

  #onUpgrade(answer: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#guard.ignoreErrors(socket)
    if (!this.#report(() => assertUpgradeAskedFor(this.#request, answer.rawHeaders)) || this.#handler === undefined) {
      // The rest of such an answer belongs to nobody.
      socket.destroy()
      return
    }
    this.#switched = socket
    socket.pause()
    // The first bytes of the new protocol may have come with the head.
    if (head.length > 0) socket.unshift(head)
    const end = () => {
      const handler = this.#handler
      this.#handler = undefined
      handler?.originOnEnd([])
    }
    this.#guard.on(socket, 'data', (bytes: Buffer) => this.#handler?.originOnData(bytes))
    this.#guard.on(socket, 'drain', () => this.#handler?.originOnDrain())
    this.#guard.once(socket, 'end', () => this.#handler?.originOnEnd([]))
    this.#guard.once(socket, 'close', end)
    const { statusCode: status = 0, statusMessage: reason = '', rawHeaders: fields } = answer
    this.#handler.originOnAnswer({ status, reason, fields, hasBody: false, isSwitched: true } satisfies OriginAnswer)
  }

  /** Runs a check of the answer; false when it failed, and that was reported. */
  #report(check: () => void): boolean {
    try {
      check()
      return true
    } catch (error) {
      this.#fail(error)
      this.#outgoing.destroy()
      return false
    }
  }

  /** The connection failed or was closed; of a whole answer that still waits for its reader nothing is lost by that. */
  #onGone(error: unknown): void {
    if (this.#switched === undefined && !this.#answer?.complete) this.#fail(error)
  }

  #fail(error: unknown): void {
    const handler = this.#handler
    this.#handler = undefined
    const refusal = originRefusal(error)
    // A kept connection may have been closed while the request was on its way (RFC 9110, section 9.2.2).
    const isStale = this.#outgoing.reusedSocket && this.#answer === undefined && refusal.code === 'connection-closed'
    handler?.originOnFailure(refusal, isStale && isIdempotent(this.#request.method) ? 'repeatable' : 'unknown')
  }
}

function connectionClosed(): Refusal {
  return new Refusal('connection-closed', 'the origin closed the connection')
}

function encodeRequestFields(request: OriginRequest): string[] {
  return [
    ...['Host', request.host],
    ...request.fields,
    ...framingFields(request),
    ...(request.upgrade === undefined ? [] : ['Connection', 'Upgrade', 'Upgrade', request.upgrade]),
    // RFC 9110, section 10.1.4: TE is of this connection only, and Connection has to say so.
    ...(request.wantsTrailers && request.upgrade === undefined ? ['Connection', 'TE', 'TE', 'trailers'] : []),
  ]
}

/** Methods to which node adds no framing of its own. */
const WITHOUT_CONTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS'])

/** The body's framing, regenerated from what the client's parser accepted (RFC 9112, section 6). */
function framingFields({ method, bodyLength }: OriginRequest): string[] {
  if (bodyLength === 'unknown') return ['Transfer-Encoding', 'chunked']
  if (bodyLength !== 'none') return ['Content-Length', String(bodyLength)]
  // Node would send chunks, and an empty body in chunks is a body: WebDAV's MKCOL is refused for it.
  return WITHOUT_CONTENT.has(method) ? [] : ['Content-Length', '0']
}

function assertUpgradeAskedFor(request: OriginRequest, fields: RawFields): void {
  const [protocol, ...others] = listOf(fields, 'upgrade')
  if (request.upgrade !== undefined && protocol === request.upgrade && others.length === 0) return
  throw new Refusal('response-invalid', 'the origin switched to a protocol that was not asked for')
}

function assertFinal(status: number, fields: RawFields): void {
  // A 101 without the fields of one is no upgrade to node's parser, and no answer to anybody.
  if (status < 200) throw new Refusal('response-invalid', 'the origin switched protocols without saying to which')
  if (fields.length / 2 > MAX_ANSWER_FIELDS) {
    throw new Refusal('response-head-too-large', `the origin's answer has more than ${MAX_ANSWER_FIELDS} fields`)
  }
  assertFraming(fields)
}

/** RFC 9112, section 6.3: an answer whose length can be read in two ways is not passed on in either. */
function assertFraming(fields: RawFields): void {
  const codings = valuesOf(fields, 'transfer-encoding')
  const lengths = valuesOf(fields, 'content-length')
  const isChunked = codings.length === 1 && codings[0]?.toLowerCase() === 'chunked'
  const isOneLength = lengths.length === 1 && /^[0-9]{1,15}$/.test(lengths[0] as string)
  const isUnambiguous = (isChunked && lengths.length === 0) || (codings.length === 0 && isOneLength)
  if (isUnambiguous || codings.length + lengths.length === 0) return
  throw new Refusal('response-invalid', "the framing of the origin's answer is ambiguous")
}
