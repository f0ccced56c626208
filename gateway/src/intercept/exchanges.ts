// The requests of one intercepted tunnel that are under way.

import type { Refusal, RefusalCode } from '../refusal.js'
import type { Downstream } from './downstream.js'
import { Exchange, type InterceptedTunnel } from './exchange.js'

export class Exchanges {
  /** Ends the tunnel in a way that no client takes for a clean end. */
  readonly abortTunnel: () => void
  readonly #tunnel: InterceptedTunnel
  /** In the order in which they came. */
  readonly #active = new Set<Exchange>()
  #onIdle: (() => void) | undefined
  #unparsed: RefusalCode | undefined

  constructor(tunnel: InterceptedTunnel, abortTunnel: () => void) {
    this.#tunnel = tunnel
    this.abortTunnel = abortTunnel
  }

  get size(): number {
    return this.#active.size
  }

  serve(downstream: Downstream): void {
    const exchange = new Exchange(downstream, this.#tunnel)
    this.#active.add(exchange)
    void exchange.run().finally(() => {
      this.#active.delete(exchange)
      if (this.#active.size === 0) this.#onIdle?.()
    })
  }

  /** Why a request was refused that no parser could read, and that is in the audit for nothing else. */
  get unparsed(): RefusalCode | undefined {
    return this.#unparsed
  }

  noteUnparsed(code: RefusalCode): void {
    this.#unparsed = code
  }

  /** Refuses the request that came last; false when its answer has begun. */
  refuseLast(refusal: Refusal): boolean {
    return [...this.#active].at(-1)?.refuse(refusal) ?? false
  }

  /** Calls back once, when no request is under way. */
  whenIdle(callback: () => void): void {
    if (this.#active.size === 0) callback()
    else this.#onIdle = callback
  }
}
