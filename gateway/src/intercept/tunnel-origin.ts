// The connections of one tunnel to its origin, and which protocol goes over them: HTTP/2 when both the client and the
// origin speak it, else HTTP/1.1. They are closed with the tunnel, and no other tunnel ever gets one.

import type { ClientHttp2Session } from 'node:http2'
import { Agent, type RequestOptions } from 'node:https'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { Authority } from 'ccr-upstream-proxy/protocol'
import type { HttpProtocol } from '../origin/dialer.js'
import { sendHttp1 } from './http1/origin.js'
import { openHttp2Session, sendHttp2 } from './http2/origin.js'
import type { OriginExchange, SendOptions } from './origin-exchange.js'
import type { OriginRequest } from './origin-request.js'

/** Dials the origin, offering these protocols. */
export type DialTls = (protocols: readonly HttpProtocol[]) => Promise<TLSSocket>

/** How long a connection may lie unused: below the 5 s after which Node origins, the shortest common, close theirs. */
export const IDLE_CONNECTION_MS = 4_000

export class TunnelOrigin {
  readonly #authority: Authority
  readonly #dial: DialTls
  #agent: TunnelAgent
  #isHttp2: boolean
  #session: Promise<ClientHttp2Session | undefined> | undefined

  constructor(authority: Authority, dial: DialTls) {
    this.#authority = authority
    this.#dial = dial
    this.#isHttp2 = false
    this.#agent = new TunnelAgent(() => dial(['http/1.1']), 1)
  }

  /** The client speaks HTTP/2: so may the origin, and requests come side by side. */
  offerHttp2(maxConcurrentRequests: number): void {
    this.#isHttp2 = true
    this.#agent = new TunnelAgent(() => this.#dial(['http/1.1']), maxConcurrentRequests)
  }

  /**
   * Sends a request; a connection is dialled when there is none.
   * @throws {Refusal}
   */
  async send(request: OriginRequest, options: SendOptions): Promise<OriginExchange> {
    const session = this.#isHttp2 ? await this.#openSession() : undefined
    if (session !== undefined) return sendHttp2(request, this.#authority, session, options)
    return sendHttp1(request, this.#authority, this.#agent, options)
  }

  close(): void {
    this.#isHttp2 = false
    this.#agent.destroy()
    void this.#session?.then((session) => session?.destroy()).catch(() => {})
  }

  /** The one session; undefined when the origin speaks HTTP/1.1 only. One that was closed since is made once more. */
  async #openSession(): Promise<ClientHttp2Session | undefined> {
    const known = this.#session
    const session = await (known ?? this.#startSession())
    if (known === undefined || session === undefined || !(session.closed || session.destroyed)) return session
    if (this.#session === known) this.#session = undefined
    return this.#session ?? this.#startSession()
  }

  #startSession(): Promise<ClientHttp2Session | undefined> {
    const starting = this.#dialSession()
    this.#session = starting
    starting.catch(() => {
      if (this.#session === starting) this.#session = undefined
    })
    return starting
  }

  async #dialSession(): Promise<ClientHttp2Session | undefined> {
    const socket = await this.#dial(['h2', 'http/1.1'])
    if (socket.alpnProtocol === 'h2') return openHttp2Session(socket, this.#authority)
    this.#agent.takeSpare(socket)
    return undefined
  }
}

/** HTTP/1.1 connections to one origin for one tunnel: kept alive within it, closed with it. */
class TunnelAgent extends Agent {
  readonly #dial: () => Promise<TLSSocket>
  #spare: TLSSocket | undefined

  constructor(dial: () => Promise<TLSSocket>, maxSockets: number) {
    super({ keepAlive: true, maxSockets, maxFreeSockets: maxSockets, timeout: IDLE_CONNECTION_MS })
    this.#dial = dial
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
      (socket) => callback?.(null, socket),
      (error: Error) => callback?.(error, undefined as unknown as Duplex),
    )
    return undefined
  }

  override destroy(): void {
    this.#spare?.destroy()
    super.destroy()
  }
}
