// Whether the gateway is still there: pings, and what counts as a sign of life.
//
// Rules:
// - A ping goes out every `pingIntervalMs`. Two in a row without an answer, and nothing else heard within `pongTimeoutMs`
//   of the second: the gateway is dead. No third one goes out before that is known, or there would always be a later one to wait for.
// - Whatever comes in, and whatever the gateway takes of the upload, is an answer too.
// - While reading is paused no pong can come in, so the count stands still, and an unsolicited pong goes out instead, for
//   middleboxes that cut what is silent.
// - While the upload waits for the gateway its pongs wait too (a gateway that holds back does not read pings either), so
//   none are sent, and only the longer `stallTimeoutMs` without any progress counts; also afterwards, until a pong has come, for the
//   system may hold minutes of what a slow uplink takes.
// - While the upload of others fills the uplink (uplink.ts) pings go out as ever, but only `stallTimeoutMs` counts.

import type { LimitTime } from '../limit-clock.js'
import { type RelayLimits, silenceLimitMs } from './limits.js'

/** What is known about the tunnel at one moment. */
export interface VitalSigns {
  /** Changes whenever bytes move between here and the gateway, in either direction. */
  readonly movedBytes: number
  readonly isReadingPaused: boolean
  readonly queuedBytes: number
  /** Whether what others send holds up what this one sends. */
  readonly isUplinkFull: boolean
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
  /** Whether the next pong is to a ping that may wait behind data of its own. */
  #isBehindData = false
  /** Since when there was always something that waits; undefined when nothing does. */
  #waitsSince: number | undefined
  #fillsUplink = false

  constructor(limits: RelayLimits, clock: LimitTime) {
    this.#limits = limits
    this.#clock = clock
    this.#lastSentAt = clock.now
    this.#lastHeardAt = clock.now
  }

  /** A pong came in. */
  onPong(): void {
    this.#isBehindData = false
    this.#heard()
  }

  /** Whether what this one sends holds up what others send, as of the last check. */
  get fillsUplink(): boolean {
    return this.#fillsUplink
  }

  /** What to do now. */
  check(signs: VitalSigns): KeepaliveAction {
    if (signs.movedBytes !== this.#movedBytes || signs.isReadingPaused) {
      this.#movedBytes = signs.movedBytes
      this.#heard()
    }
    this.#watchUpload(signs.queuedBytes)
    if (this.#isDead(signs)) return 'dead'
    // Behind what waits already, a ping would not reach the gateway any sooner; and it would count as something that moves.
    if (signs.queuedBytes > 0) return 'none'
    if (this.#unanswered >= 2 || this.#clock.now - this.#lastSentAt < this.#limits.pingIntervalMs) return 'none'
    this.#lastSentAt = this.#clock.now
    if (signs.isReadingPaused) return 'pong'
    this.#unanswered++
    return 'ping'
  }

  #watchUpload(queuedBytes: number): void {
    if (queuedBytes === 0) {
      this.#waitsSince = undefined
      this.#fillsUplink &&= this.#isBehindData
      return
    }
    const { now } = this.#clock
    const { pongTimeoutMs } = this.#limits
    this.#waitsSince ??= now
    this.#isBehindData = true
    // More waits than is taken in the time of a pong. Where nothing is taken, it is the gateway that holds it back.
    this.#fillsUplink =
      now - this.#waitsSince >= pongTimeoutMs && now - this.#lastHeardAt < silenceLimitMs(this.#limits)
  }

  #heard(): void {
    this.#unanswered = 0
    this.#lastHeardAt = this.#clock.now
  }

  #isDead({ isUplinkFull }: VitalSigns): boolean {
    const { readUntil } = this.#clock
    if (this.#isBehindData || isUplinkFull) return readUntil - this.#lastHeardAt >= this.#limits.stallTimeoutMs
    return this.#unanswered >= 2 && readUntil - this.#lastSentAt >= this.#limits.pongTimeoutMs
  }
}
