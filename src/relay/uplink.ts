// Whether what goes to the gateway is held up by the uplink, which all tunnels share: then a pong that does not come says nothing of
// the gateway, for the ping waits behind the data of others. A tunnel reports that it fills the uplink; the others ask.

import type { LimitTime } from '../limit-clock.js'
import { type RelayLimits, silenceLimitMs } from './limits.js'

export class Uplink {
  readonly #limits: RelayLimits
  readonly #clock: LimitTime
  #fullAt = Number.NEGATIVE_INFINITY

  constructor(limits: RelayLimits, clock: LimitTime) {
    this.#limits = limits
    this.#clock = clock
  }

  /** A tunnel fills it. */
  onFull(): void {
    this.#fullAt = this.#clock.now
  }

  /** Also for as long afterwards as two new pings take. */
  get isFull(): boolean {
    return this.#clock.readUntil - this.#fullAt < silenceLimitMs(this.#limits)
  }
}
