// For how long the gateway asks to be left alone: the Retry-After of a 503 or 429 on the upgrade. Until then no WebSocket is dialled;
// those that are open, warm ones too, are of use as before.

import { UpstreamProxyError } from '../errors.js'

/** What asks for longer is asked again after this time all the same: it may be a page of something on the way. */
const MAX_BACKOFF_MS = 60_000

export class GatewayBackoff {
  readonly #now: () => number
  #until = Number.NEGATIVE_INFINITY

  /** @param now milliseconds of a clock that nobody sets */
  constructor(now: () => number) {
    this.#now = now
  }

  /** A dial has failed. What is said meanwhile is said again when the time is over. */
  onFailure({ retryAfterMs = 0 }: UpstreamProxyError): void {
    const now = this.#now()
    if (now >= this.#until) this.#until = now + Math.min(retryAfterMs, MAX_BACKOFF_MS)
  }

  /**
   * Whether the gateway may be dialled.
   * @throws {UpstreamProxyError} `gateway-overloaded`
   */
  assertOver(): void {
    const retryAfterMs = this.#until - this.#now()
    if (retryAfterMs <= 0) return
    const message = `the gateway asks to be left alone for ${Math.ceil(retryAfterMs / 1_000)} s more`
    throw new UpstreamProxyError('gateway-overloaded', message, { side: 'remote', retryAfterMs })
  }
}
