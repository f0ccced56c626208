// The HTTP/1.1 end that an intercepted client speaks to, over the decrypted stream of its tunnel: one request after the
// other, however many of them the client sends at once.

import type { TLSSocket } from 'node:tls'
import type { Guard } from '../../guard.js'
import { encodeRefusal, Refusal } from '../../refusal.js'
import type { Exchanges } from '../exchanges.js'
import type { BodyLength } from '../request-head.js'
import { Http1ClientExchange, type Http1Link } from './client-exchange.js'
import { bodyLengthOf } from './request-head.js'
import { type BodyFraming, type Http1RequestHead, Http1RequestParser } from './request-parser.js'

/** Of requests that wait for their turn: more than a client that pipelines sends ahead. Then nothing more is read. */
const MAX_WAITING_BYTES = 65_536

/** What is to be done with the bytes that come: `whole` is for those of later requests. */
type Reading = 'wanted' | 'paused' | 'whole'

type ConnectionState =
  /** Waiting for a head. */
  | { readonly name: 'idle' }
  /** A request is under way. */
  | { readonly name: 'serving'; readonly exchange: Http1ClientExchange; readonly reading: Reading }
  /** It is no HTTP any more. */
  | { readonly name: 'switched'; readonly exchange: Http1ClientExchange; readonly reading: Reading }
  /** Nothing that comes is looked at any more. */
  | { readonly name: 'closing' }

/** Serves HTTP/1.1 on `socket` until it is closed. */
export function serveHttp1(socket: TLSSocket, exchanges: Exchanges, guard: Guard, requestHeadTimeoutMs: number): void {
  const connection = new Http1ClientConnection(socket, exchanges, guard, requestHeadTimeoutMs)
  guard.on(socket, 'data', (bytes: Buffer) => connection.onData(bytes))
  guard.once(socket, 'end', () => connection.onFin())
  guard.on(socket, 'drain', () => connection.onDrain())
  guard.once(socket, 'close', () => connection.onGone())
}

class Http1ClientConnection implements Http1Link {
  readonly #socket: TLSSocket
  readonly #exchanges: Exchanges
  readonly #guard: Guard
  readonly #requestHeadTimeoutMs: number
  readonly #parser = new Http1RequestParser()
  #state: ConnectionState = { name: 'idle' }
  #stopHeadDeadline: (() => void) | undefined
  #isAdvancing = false

  constructor(socket: TLSSocket, exchanges: Exchanges, guard: Guard, requestHeadTimeoutMs: number) {
    this.#socket = socket
    this.#exchanges = exchanges
    this.#guard = guard
    this.#requestHeadTimeoutMs = requestHeadTimeoutMs
  }

  // -- The socket ----------------------------------------------------------------------------------------------------

  onData(bytes: Buffer): void {
    if (this.#state.name === 'closing') return
    this.#parser.push(bytes)
    this.#advance()
  }

  onFin(): void {
    if (this.#state.name === 'idle') this.#close()
    else if (this.#state.name !== 'closing') this.#state.exchange.onFin()
  }

  onDrain(): void {
    if (this.#state.name === 'serving' || this.#state.name === 'switched') this.#state.exchange.onDrain()
  }

  onGone(): void {
    this.#stopHeadDeadline?.()
    const state = this.#state
    this.#state = { name: 'closing' }
    if (state.name === 'serving' || state.name === 'switched') state.exchange.onGone()
  }

  /** Takes what has come as far as it is wanted. */
  #advance(): void {
    // What is handed over may end the request, and with that come back here.
    if (this.#isAdvancing) return
    this.#isAdvancing = true
    try {
      while (this.#step());
    } finally {
      this.#isAdvancing = false
    }
    this.#watchHead()
    this.#pace()
  }

  /** Takes one event of the parser; false when there is none to take. */
  #step(): boolean {
    const state = this.#state
    if (state.name === 'switched') return this.#passRaw(state)
    if (state.name === 'closing' || (state.name === 'serving' && !this.#mayRead(state.reading))) return false
    try {
      const event = this.#parser.next()
      if (event === undefined) return false
      if (event.kind === 'head') this.#serve(event.head)
      else if (state.name === 'serving') {
        if (event.kind === 'data') state.exchange.onData(event.bytes)
        else {
          this.#read('whole')
          state.exchange.onRequestEnd(event.trailers)
        }
      }
      return true
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      if (state.name === 'serving') {
        this.#read('whole')
        state.exchange.onFailure(error)
      } else this.#refuseUnparsed(error)
      return false
    }
  }

  /** The end of a body has no bytes that a full origin could not take, and an answer looks whether it has come. */
  #mayRead(reading: Reading): boolean {
    return reading === 'wanted' || (reading === 'paused' && this.#parser.isBodyOver)
  }

  #serve(head: Http1RequestHead): void {
    this.#stopHeadDeadline?.()
    this.#stopHeadDeadline = undefined
    const bodyLength = readBodyLength(head)
    const exchange = new Http1ClientExchange(head, bodyLength, this)
    const isBodyless = bodyLength === 'none' || bodyLength === 0
    this.#state = { name: 'serving', exchange, reading: isBodyless ? 'whole' : 'paused' }
    if (!(bodyLength instanceof Refusal)) this.#parser.readBody(framingOf(bodyLength))
    if (isBodyless) {
      // The end of an empty body is there already; what comes after it has to wait.
      this.#parser.next()
      exchange.onRequestEnd([])
    }
    this.#exchanges.serve(exchange)
  }

  #passRaw({ exchange, reading }: ConnectionState & { name: 'switched' }): boolean {
    if (reading !== 'wanted' || this.#parser.bufferedBytes === 0) return false
    exchange.onData(this.#parser.takeRest())
    return true
  }

  /** A head that was begun has to end in time. */
  #watchHead(): void {
    const isInHead = this.#state.name === 'idle' && this.#parser.isInHead
    if (!isInHead) {
      this.#stopHeadDeadline?.()
      this.#stopHeadDeadline = undefined
      return
    }
    this.#stopHeadDeadline ??= this.#guard.startDeadline(this.#requestHeadTimeoutMs, () => {
      this.#refuseUnparsed(new Refusal('head-timeout', 'the request head is late'))
    })
  }

  #pace(): void {
    const state = this.#state
    const isWanted = state.name === 'idle' || state.name === 'closing' || state.reading === 'wanted'
    if (isWanted || this.#parser.bufferedBytes <= MAX_WAITING_BYTES) this.#socket.resume()
    else this.#socket.pause()
  }

  #read(reading: Reading): void {
    const state = this.#state
    if ((state.name === 'serving' || state.name === 'switched') && state.reading !== 'whole') {
      this.#state = { ...state, reading }
    }
  }

  /** A request that no parser could read gets an answer, after those in front of it. */
  #refuseUnparsed(refusal: Refusal): void {
    this.#exchanges.noteUnparsed(refusal.code)
    this.#socket.write(encodeRefusal(refusal))
    this.#close()
  }

  #close(): void {
    this.#stopHeadDeadline?.()
    this.#state = { name: 'closing' }
    this.#socket.resume()
    this.#socket.destroySoon()
  }

  // -- What a request asks for ---------------------------------------------------------------------------------------

  write(bytes: Buffer, onWritten: () => void): boolean {
    // A failed write is followed by the close.
    const onDone = this.#guard.wrap((error?: Error | null) => {
      if (!error) onWritten()
    })
    return this.#socket.write(bytes, onDone)
  }

  pauseReading(): void {
    this.#read('paused')
    this.#pace()
  }

  resumeReading(): void {
    this.#read('wanted')
    this.#advance()
  }

  switchToRaw(): void {
    if (this.#state.name === 'serving') this.#state = { ...this.#state, name: 'switched', reading: 'paused' }
  }

  finishWriting(): void {
    this.#socket.end()
  }

  release(isReusable: boolean): void {
    if (this.#state.name === 'closing') return
    if (!isReusable) {
      this.#close()
      return
    }
    this.#state = { name: 'idle' }
    this.#advance()
  }

  abort(): void {
    this.#exchanges.abortTunnel()
  }
}

function framingOf(bodyLength: BodyLength): BodyFraming {
  if (bodyLength === 'unknown') return 'chunked'
  return bodyLength === 'none' ? 0 : bodyLength
}

function readBodyLength(head: Http1RequestHead): BodyLength | Refusal {
  try {
    return bodyLengthOf(head)
  } catch (error) {
    if (error instanceof Refusal) return error
    throw error
  }
}
