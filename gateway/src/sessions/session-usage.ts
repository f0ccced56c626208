// How much a session uses: its open tunnels, and its requests as a bucket that refills all the time, so that a minute's
// requests may come at once but not twice.

import type { SessionLimits } from '../policy/policy.js'
import { Refusal } from '../refusal.js'

const MINUTE_MS = 60_000

/** The use of one session in this process; all its tunnels share it. */
export class SessionUsage {
  #tunnels = 0
  /** Requests that were made and not yet made up for by time. */
  #spent = 0
  #spentAt = performance.now()

  get isIdle(): boolean {
    return this.#tunnels === 0 && performance.now() - this.#spentAt > MINUTE_MS
  }

  /**
   * Takes one tunnel; the function gives it back.
   * @throws {Refusal}
   */
  takeTunnel({ tunnels }: SessionLimits): () => void {
    if (tunnels !== undefined && this.#tunnels >= tunnels) {
      throw new Refusal('session-tunnels-exceeded', `the session has ${tunnels} tunnels open`, 1)
    }
    this.#tunnels++
    return () => {
      this.#tunnels--
    }
  }

  /** @throws {Refusal} */
  takeRequest({ requestsPerMinute }: SessionLimits): void {
    if (requestsPerMinute === undefined) return
    const now = performance.now()
    const refilled = ((now - this.#spentAt) / MINUTE_MS) * requestsPerMinute
    this.#spent = Math.max(0, this.#spent - refilled)
    this.#spentAt = now
    if (this.#spent + 1 > requestsPerMinute) {
      const missing = this.#spent + 1 - requestsPerMinute
      const seconds = Math.ceil((missing / requestsPerMinute) * 60)
      throw new Refusal(
        'session-requests-exceeded',
        `the session made ${requestsPerMinute} requests in a minute`,
        seconds,
      )
    }
    this.#spent++
  }
}
