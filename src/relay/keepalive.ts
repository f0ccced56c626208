// Whether the gateway is still there: pings, and what counts as a sign of life.
//
// Rules:
// - A ping goes out every `pingIntervalMs`. Two in a row without an answer, and nothing else heard within `pongTimeoutMs`
//   of the second: the gateway is dead. No third one goes out before that is known, or there would always be a later one to wait for.
// - Whatever comes in, and whatever the gateway takes of the upload, is an answer too.
// - While reading is paused no pong can come in, so the count stands still, and an unsolicited pong goes out instead, for
//   middleboxes that cut what is silent.
// - While the upload waits for the gateway its pongs wait too (a gateway that holds back does not read pings either), so
//   none are sent, and only the longer `stallTimeoutMs` without any progress counts.

import type { LimitTime } from '../limit-clock.js'
import type { RelayLimits } from './limits.js'

/** What is known about the tunnel at one moment. */
export interface VitalSigns {
  /** Changes whenever bytes move between here and the gateway, in either direction. */
  readonly movedBytes: number
  readonly isReadingPaused: boolean
  readonly queuedBytes: number
}

export type KeepaliveAction = 'none' | 'ping' | 'pong' | 'dead'

/** The keepalive of one WebSocket. It is asked from time to time and has no timer. */
export class Keepalive {
  readonly #limits: RelayLimits
  readonly #clock: LimitTime
  #movedBytes = 0
  #unanswered = 0
  #lastSentAt: number
  #lastHeardAt: number

  constructor(limits: RelayLimits, clock: LimitTime) {
    this.#limits = limits
    this.#clock = clock
    this.#lastSentAt = clock.now
    this.#lastHeardAt = clock.now
  }

  /** A pong came in. */
  onPong(): void {
    this.#heard()
  }

  /** What to do now. */
  check(signs: VitalSigns): KeepaliveAction {
    if (signs.movedBytes !== this.#movedBytes || signs.isReadingPaused) {
      this.#movedBytes = signs.movedBytes
      this.#heard()
    }
    if (this.#isDead(signs)) return 'dead'
    // Behind what waits already, a ping would not reach the gateway any sooner; and it would count as something that moves.
    if (signs.queuedBytes > 0) return 'none'
    if (this.#unanswered >= 2 || this.#clock.now - this.#lastSentAt < this.#limits.pingIntervalMs) return 'none'
    this.#lastSentAt = this.#clock.now
    if (signs.isReadingPaused) return 'pong'
    this.#unanswered++
    return 'ping'
  }

  #heard(): void {
    this.#unanswered = 0
    this.#lastHeardAt = this.#clock.now
  }

  #isDead({ queuedBytes }: VitalSigns): boolean {
    const { readUntil } = this.#clock
    if (queuedBytes > 0) return readUntil - this.#lastHeardAt >= this.#limits.stallTimeoutMs
    return this.#unanswered >= 2 && readUntil - this.#lastSentAt >= this.#limits.pongTimeoutMs
  }
}
