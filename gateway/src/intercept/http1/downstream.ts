// One HTTP/1.1 request of an intercepted client, as exchange.ts sees it.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { finished } from 'node:stream/promises'
import { endToEndFields, fieldPairs, listOf, type RawFields, trailerFields, valuesOf } from '../../fields.js'
import { Refusal, refusalBody, refusalHeaders } from '../../refusal.js'
import type { BodyLength, Downstream, RequestHead, ResponseHead } from '../downstream.js'
import type { Http1Connection } from './connection.js'

/** What a request that asks for another protocol has left the parser with. */
export interface UpgradeSocket {
  readonly socket: Duplex
  /** What came behind the head. */
  readonly rest: Buffer
}

export class Http1Downstream implements Downstream {
  readonly closed: Promise<boolean>
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #upgrade: UpgradeSocket | undefined
  readonly #connection: Http1Connection
  #bytesSent = 0
  #isSwitched = false

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    connection: Http1Connection,
    upgrade?: UpgradeSocket,
  ) {
    this.#request = request
    this.#response = response
    this.#connection = connection
    this.#upgrade = upgrade
    // Both report their errors through the streams that they are part of; alone they must not end the process.
    request.on('error', ignoreError)
    response.on('error', ignoreError)
    this.closed = new Promise<boolean>((resolve) => {
      const forget = connection.onClose(() => resolve(this.#isSwitched))
      const settle = (isWhole: boolean) => {
        forget()
        resolve(isWhole)
      }
      finished(response).then(
        () => settle(true),
        () => settle(false),
      )
    })
  }

  get method(): string {
    return this.#request.method ?? ''
  }

  get target(): string {
    return this.#request.url ?? ''
  }

  readHead(): RequestHead {
    const { rawHeaders: fields } = this.#request
    const hosts = valuesOf(fields, 'host')
    // RFC 9112, section 3.2.
    if (hosts.length !== 1) throw new Refusal('bad-request', 'not exactly one Host field')
    const bodyLength = this.#bodyLength(fields)
    const head = { method: this.method, target: this.target, hosts, fields, bodyLength }
    return this.#upgrade === undefined ? head : { ...head, upgrade: requestedProtocol(head) }
  }

  #bodyLength(fields: RawFields): BodyLength {
    const codings = valuesOf(fields, 'transfer-encoding')
    const lengths = valuesOf(fields, 'content-length')
    if (codings.length > 0) {
      // RFC 9112, section 6.1: `chunked` is the one coding that both sides know; node's parser tells of others too late.
      const isChunked = codings.length === 1 && codings[0]?.toLowerCase() === 'chunked'
      if (!isChunked || lengths.length > 0 || this.#request.httpVersionMinor === 0) {
        throw new Refusal('bad-request', "the request's framing is ambiguous")
      }
      return 'unknown'
    }
    if (lengths.length === 0) return 'none'
    if (lengths.length > 1 || !/^[0-9]{1,15}$/.test(lengths[0] as string)) {
      throw new Refusal('bad-request', 'Content-Length is not one number')
    }
    return Number(lengths[0])
  }

  get body(): IncomingMessage {
    return this.#request
  }

  get isBodyWhole(): boolean {
    return this.#request.complete
  }

  get trailers(): RawFields {
    return this.#request.rawTrailers
  }

  get status(): number {
    if (this.#isSwitched) return 101
    return this.#response.headersSent ? this.#response.statusCode : 0
  }

  get isClosed(): boolean {
    return this.#response.destroyed || this.#connection.isClosed
  }

  get sink(): ServerResponse {
    return this.#response
  }

  sendInterim(status: number, fields: RawFields): void {
    // Node has no call for any but 100 and 103. A pipelined request whose turn has not come has no socket yet.
    if (this.#response.headersSent || this.#request.httpVersionMinor === 0) return
    this.#response.socket?.write(
      encodeHead(status, INTERIM_REASONS[status] ?? 'Interim', endToEndFields(fields, isAny)),
    )
  }

  sendHead({ status, reason, fields, hasBody }: ResponseHead): void {
    const response = this.#response
    response.sendDate = false
    // Trailers only come with chunks (RFC 9112, section 7.1.2).
    const isChunked = hasBody && valuesOf(fields, 'content-length').length === 0
    response.writeHead(status, reason, isChunked ? [...fields] : endToEndFields(fields, (field) => field !== 'trailer'))
    // A head without a body to it goes at once, for event streams; with one, both go together.
    setImmediate(() => {
      if (this.#bytesSent === 0 && !response.writableEnded) response.flushHeaders()
    })
    response.once('pipe', (source) => {
      source.once('data', (bytes: Buffer) => {
        this.#bytesSent += bytes.length
      })
    })
  }

  end(trailers: RawFields): void {
    const kept = trailerFields(trailers, isAny)
    if (kept.length > 0 && this.#response.chunkedEncoding) this.#response.addTrailers([...fieldPairs(kept)])
    this.#response.end()
    // What is left of the request is not waited for (RFC 9110, section 10.1.1).
    if (!this.#request.complete) this.#request.socket.destroySoon()
  }

  refuse(refusal: Refusal): void {
    // RFC 9112, section 9.6: after `close` no further request is answered.
    this.#connection.takeNoMore()
    this.#response.sendDate = false
    this.#response.writeHead(refusal.status, refusal.reason, refusalHeaders(refusal))
    this.#response.end(refusalBody(refusal))
  }

  cutOff(): void {
    this.#connection.abortTunnel()
    this.#response.destroy()
  }

  switchProtocols(fields: RawFields): Duplex {
    const { socket, rest } = this.#upgrade as UpgradeSocket
    this.#isSwitched = true
    this.#response.detachSocket(socket as IncomingMessage['socket'])
    // One write: some clients take a 101 that comes in pieces for a broken one.
    const kept = [...endToEndFields(fields, isAny), 'Connection', 'Upgrade', 'Upgrade', 'websocket']
    socket.write(encodeHead(101, 'Switching Protocols', kept))
    if (rest.length > 0) socket.unshift(rest)
    return socket
  }
}

const INTERIM_REASONS: Readonly<Record<number, string>> = {
  100: 'Continue',
  102: 'Processing',
  103: 'Early Hints',
}

/** RFC 6455, section 4.1. Other protocols would take requests past the checks (`h2c`), or nobody speaks them. */
function requestedProtocol({ method, fields, bodyLength }: RequestHead): 'websocket' {
  const [protocol, ...others] = listOf(fields, 'upgrade')
  const isWebSocket = protocol === 'websocket' && others.length === 0 && method === 'GET' && bodyLength === 'none'
  if (!isWebSocket) throw new Refusal('upgrade-denied', 'only an upgrade to WebSocket is forwarded')
  return 'websocket'
}

function encodeHead(status: number, reason: string, fields: RawFields): string {
  const lines = [...fieldPairs(fields)].map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${reason}\r\n${lines.join('')}\r\n`
}

function isAny(): boolean {
  return true
}

function ignoreError(): void {}
