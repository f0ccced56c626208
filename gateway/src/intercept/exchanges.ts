// The requests of one intercepted tunnel that are under way. All of them end with their tunnel.

import type { AuditErrorCode } from '../audit/audit-record.js'
import type { RefusalCode } from '../refusal.js'
import type { ClientExchange } from './client-exchange.js'
import { Exchange } from './exchange.js'
import type { InterceptedTunnel } from './intercepted-tunnel.js'

export class Exchanges {
  /** Ends the tunnel in a way that no client takes for a clean end. */
  readonly abortTunnel: () => void
  readonly #tunnel: InterceptedTunnel
  readonly #active = new Set<Exchange>()
  #answered = 0
  #moved = 0
  #unparsed: RefusalCode | undefined

  constructor(tunnel: InterceptedTunnel, abortTunnel: () => void) {
    this.#tunnel = tunnel
    this.abortTunnel = abortTunnel
  }

  get size(): number {
    return this.#active.size
  }

  /** Requests that got an answer. */
  get answered(): number {
    return this.#answered
  }

  /** Heads and parts of bodies that came or went. */
  get moved(): number {
    return this.#moved
  }

  serve(client: ClientExchange): void {
    const exchange = new Exchange(client, this.#tunnel, {
      exchangeOnMoved: () => {
        this.#moved++
      },
      exchangeOnDone: (isAnswered) => {
        this.#active.delete(exchange)
        if (isAnswered) this.#answered++
      },
    })
    this.#active.add(exchange)
    exchange.start()
  }

  /** Why a request was refused that no parser could read, and that is in the audit for nothing else. */
  get unparsed(): RefusalCode | undefined {
    return this.#unparsed
  }

  noteUnparsed(code: RefusalCode): void {
    this.#unparsed = code
  }

  /** The tunnel is closed: requests end with it, whatever their own sides report. */
  leave(): void {
    for (const exchange of [...this.#active]) exchange.leave()
  }

  /** Ends what is under way; `code` says why. */
  abort(code: AuditErrorCode): void {
    for (const exchange of [...this.#active]) exchange.abort(code)
  }
}
