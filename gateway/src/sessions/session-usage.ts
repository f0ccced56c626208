// How much a session uses: its WebSockets, the tunnels on them, the requests in these, and budgets that refill all the time, so
// that a minute's worth may come at once but not twice.

import type { SessionLimits } from '../policy/policy.js'
import { Refusal } from '../refusal.js'

const MINUTE_MS = 60_000
/** WebSockets that a session may have besides its tunnels: two relays keep eight warm each. */
const SPARE_WEB_SOCKETS = 16
/** Two a second: some hundredths of a core. Only hosts under a rule count, and of those only names that are not known yet. */
const NAMES_PER_MINUTE = 120

/** The use of one session in this process; all its tunnels share it. */
export class SessionUsage {
  #webSockets = 0
  #tunnels = 0
  #requests = 0
  #usedAt = performance.now()
  readonly #requestsOfMinute = new MinuteBudget()
  readonly #names = new MinuteBudget()
  /** Ends when what was minted for it has been. */
  #minting: Promise<unknown> = Promise.resolve()

  /** Nothing is open, and the budgets are full again: a new one would be the same. */
  get isIdle(): boolean {
    return this.#webSockets === 0 && this.#tunnels === 0 && performance.now() - this.#usedAt > MINUTE_MS
  }

  touch(): void {
    this.#usedAt = performance.now()
  }

  /**
   * Takes a place for a WebSocket, which may wait for its CONNECT; the function gives it back.
   * @throws {Refusal}
   */
  takeWebSocket({ tunnels }: SessionLimits): () => void {
    this.#assertTunnelsLeft(tunnels)
    if (this.#webSockets >= tunnels + SPARE_WEB_SOCKETS) {
      throw new Refusal('session-tunnels-exceeded', `the session has ${this.#webSockets} WebSockets open`, 1)
    }
    this.#webSockets++
    return () => {
      this.#webSockets--
      this.touch()
    }
  }

  /**
   * Takes a place for a tunnel, from its CONNECT on; the function gives it back.
   * @throws {Refusal}
   */
  takeTunnel({ tunnels }: SessionLimits): () => void {
    this.#assertTunnelsLeft(tunnels)
    this.#tunnels++
    return () => {
      this.#tunnels--
      this.touch()
    }
  }

  /**
   * Takes a place for an intercepted request, and one off the minute's; the function gives the place back.
   * @throws {Refusal}
   */
  takeRequest(limits: SessionLimits): () => void {
    if (this.#requests >= limits.concurrentRequests) {
      const message = `the session has ${this.#requests} requests under way`
      throw new Refusal('session-concurrency-exceeded', message, 1)
    }
    this.spendRequest(limits)
    this.#requests++
    return () => {
      this.#requests--
    }
  }

  /**
   * Takes one off the requests of a minute.
   * @throws {Refusal}
   */
  spendRequest({ requestsPerMinute }: SessionLimits): void {
    if (requestsPerMinute === undefined) return
    const seconds = this.#requestsOfMinute.take(requestsPerMinute)
    if (seconds === 0) return
    throw new Refusal(
      'session-requests-exceeded',
      `the session made ${requestsPerMinute} requests in a minute`,
      seconds,
    )
  }

  /**
   * Mints a certificate for a new name, one after the other: a session that asks for many waits for its own, and not others.
   * @throws {Refusal} at once
   */
  mintName<T>(mint: () => Promise<T>): Promise<T> {
    const seconds = this.#names.take(NAMES_PER_MINUTE)
    if (seconds > 0) {
      const message = `the session asked for ${NAMES_PER_MINUTE} new host names in a minute`
      throw new Refusal('session-names-exceeded', message, seconds)
    }
    const minted = this.#minting.then(mint)
    this.#minting = minted.catch(() => {})
    return minted
  }

  #assertTunnelsLeft(tunnels: number): void {
    if (this.#tunnels < tunnels) return
    throw new Refusal('session-tunnels-exceeded', `the session has ${tunnels} tunnels open`, 1)
  }
}

class MinuteBudget {
  /** What was taken and not yet made up for by time. */
  #spent = 0
  #spentAt = performance.now()

  /** Takes one of `perMinute`; otherwise the seconds, at least 1, until there is one. */
  take(perMinute: number): number {
    const now = performance.now()
    const refilled = ((now - this.#spentAt) / MINUTE_MS) * perMinute
    this.#spent = Math.max(0, this.#spent - refilled)
    this.#spentAt = now
    const missing = this.#spent + 1 - perMinute
    if (missing > 0) return Math.ceil((missing / perMinute) * 60)
    this.#spent++
    return 0
  }
}

/** The uses of all sessions, kept through a reload: limits are not reset by it. */
export class SessionUsages {
  readonly #usages = new Map<string, SessionUsage>()

  /**
   * That of a session, for whoever opens a WebSocket next. Nobody keeps it for longer than a WebSocket is open: those that are
   * idle are dropped here.
   */
  of(issuer: string | undefined, id: string): SessionUsage {
    const key = `${issuer ?? ''}\n${id}`
    const usage = this.#usages.get(key) ?? this.#add(key)
    usage.touch()
    return usage
  }

  #add(key: string): SessionUsage {
    for (const [other, usage] of this.#usages) if (usage.isIdle) this.#usages.delete(other)
    const usage = new SessionUsage()
    this.#usages.set(key, usage)
    return usage
  }
}
