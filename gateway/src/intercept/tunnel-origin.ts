// The connections of one tunnel to its origin, and which protocol goes over them: HTTP/2 when both the client and the
// origin speak it, else HTTP/1.1. They are closed with the tunnel, and no other tunnel ever gets one.

import type { ClientRequest } from 'node:http'
import { Agent, type RequestOptions } from 'node:https'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { Authority } from 'ccr-upstream-proxy/protocol'
import type { RawFields } from '../fields.js'
import type { Guard } from '../guard.js'
import type { HttpProtocol } from '../origin/dialer.js'
import { originRefusal } from '../origin/origin-refusal.js'
import { Refusal } from '../refusal.js'
import { sendHttp1 } from './http1/origin.js'
import { OriginSession } from './http2/origin.js'
import type { Done, Origin, OriginExchange, OriginHandler } from './origin-exchange.js'
import type { OriginRequest } from './origin-request.js'

/** Dials the origin, offering these protocols. */
export type DialTls = (protocols: readonly HttpProtocol[]) => Promise<TLSSocket>

/** How long a connection may lie unused: below the 5 s after which Node origins, the shortest common, close theirs. */
export const IDLE_CONNECTION_MS = 4_000

export class TunnelOrigin implements Origin {
  readonly #authority: Authority
  readonly #dial: DialTls
  readonly #guard: Guard
  #agent: TunnelAgent
  #isHttp2 = false
  #isClosed = false
  #session: Promise<OriginSession | undefined> | undefined

  constructor(authority: Authority, dial: DialTls, guard: Guard) {
    this.#authority = authority
    this.#dial = dial
    this.#guard = guard
    this.#agent = this.#createAgent(1)
  }

  /** The client speaks HTTP/2: so may the origin, and requests come side by side. */
  offerHttp2(maxConcurrentRequests: number): void {
    this.#isHttp2 = true
    this.#agent = this.#createAgent(maxConcurrentRequests)
  }

  send(request: OriginRequest, handler: OriginHandler): OriginExchange {
    const pending = new PendingExchange(handler)
    const begin = this.#guard.wrap((session: OriginSession | undefined) => {
      pending.begin(() => {
        if (this.#isClosed) throw new Refusal('connection-closed', 'the tunnel is closed')
        if (session !== undefined) return session.send(request, handler, this.#guard)
        return sendHttp1(request, this.#authority, this.#agent, handler, this.#guard)
      })
    })
    const session = this.#isHttp2 ? this.#openSession() : Promise.resolve(undefined)
    session.then(
      begin,
      this.#guard.wrap((error: unknown) => pending.fail(originRefusal(error), 'unknown')),
    )
    return pending
  }

  close(): void {
    this.#isClosed = true
    this.#agent.destroy()
    this.#session?.then(
      (session) => session?.destroy(),
      () => {},
    )
  }

  #createAgent(maxSockets: number): TunnelAgent {
    return new TunnelAgent(() => this.#dial(['http/1.1']), maxSockets, this.#guard)
  }

  /** The one session; undefined when the origin speaks HTTP/1.1 only. One that was closed since is made once more. */
  async #openSession(): Promise<OriginSession | undefined> {
    const known = this.#session
    const session = await (known ?? this.#startSession())
    if (known === undefined || !session?.isClosed) return session
    if (this.#session === known) this.#session = undefined
    return this.#session ?? this.#startSession()
  }

  #startSession(): Promise<OriginSession | undefined> {
    const starting = this.#dialSession()
    this.#session = starting
    starting.catch(() => {
      if (this.#session === starting) this.#session = undefined
    })
    return starting
  }

  async #dialSession(): Promise<OriginSession | undefined> {
    const socket = await this.#dial(['h2', 'http/1.1'])
    if (this.#isClosed) {
      socket.destroy()
      return undefined
    }
    if (socket.alpnProtocol === 'h2') return new OriginSession(socket, this.#authority, this.#guard)
    this.#agent.takeSpare(socket)
    return undefined
  }
}

/** A request for which there is no connection yet. */
class PendingExchange implements OriginExchange {
  readonly #handler: OriginHandler
  #exchange: OriginExchange | undefined
  #isDestroyed = false

  constructor(handler: OriginHandler) {
    this.#handler = handler
  }

  begin(send: () => OriginExchange): void {
    if (this.#isDestroyed) return
    try {
      this.#exchange = send()
    } catch (error) {
      const refusal = originRefusal(error)
      // Nothing was sent: a session that was closed just now is replaced by another one.
      this.fail(refusal, refusal.code === 'connection-closed' ? 'nothing' : 'unknown')
    }
  }

  fail(refusal: Refusal, done: Done): void {
    if (!this.#isDestroyed) this.#handler.originOnFailure(refusal, done)
  }

  write(bytes: Buffer): boolean {
    return this.#exchange?.write(bytes) ?? true
  }

  end(trailers: RawFields): void {
    this.#exchange?.end(trailers)
  }

  pauseBody(): void {
    this.#exchange?.pauseBody()
  }

  resumeBody(): void {
    this.#exchange?.resumeBody()
  }

  destroy(): void {
    this.#isDestroyed = true
    this.#exchange?.destroy()
  }
}

/** HTTP/1.1 connections to one origin for one tunnel: kept alive within it, closed with it. */
class TunnelAgent extends Agent {
  readonly #dial: () => Promise<TLSSocket>
  readonly #guard: Guard
  #spare: TLSSocket | undefined

  constructor(dial: () => Promise<TLSSocket>, maxSockets: number, guard: Guard) {
    super({ keepAlive: true, maxSockets, maxFreeSockets: maxSockets, timeout: IDLE_CONNECTION_MS })
    this.#dial = dial
    this.#guard = guard
  }

  /** A connection that was made to find out what the origin speaks. */
  takeSpare(socket: TLSSocket): void {
    this.#spare = socket
  }

  override createConnection(
    _options: RequestOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    const spare = this.#spare
    this.#spare = undefined
    const dialled = spare === undefined || spare.destroyed ? this.#dial() : Promise.resolve(spare)
    dialled.then(
      this.#guard.wrap((socket: TLSSocket) => callback?.(null, socket)),
      this.#guard.wrap((error: Error) => callback?.(error, undefined as unknown as Duplex)),
    )
    return undefined
  }

  /** What an origin sends without being asked would be taken for the answer to the next request. */
  override keepSocketAlive(socket: Duplex): boolean {
    socket.on('data', destroyThis)
    return super.keepSocketAlive(socket) as unknown as boolean
  }

  override reuseSocket(socket: Duplex, request: ClientRequest): void {
    socket.off('data', destroyThis)
    super.reuseSocket(socket, request)
  }

  override destroy(): void {
    this.#spare?.destroy()
    super.destroy()
  }
}

function destroyThis(this: Duplex): void {
  this.destroy()
}
