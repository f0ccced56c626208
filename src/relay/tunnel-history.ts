// What one tunnel has been through: where it leads, how long its stages took, why it broke and what ended it. The tunnel tells
// it; events, statistics and the log read it. It decides nothing.

import type { ErrorCode } from '../errors.js'
import { type Authority, formatAuthority } from '../protocol/authority.js'
import type { TunnelEvent } from '../protocol/tunnel-state.js'
import type { TunnelEnd, TunnelEndReason, TunnelFacts, TunnelOutcome, TunnelRoute } from './channels.js'
import type { RelayMonitor } from './monitor.js'

export class TunnelHistory {
  readonly #monitor: RelayMonitor
  readonly #id: number
  readonly #acceptedAt: number
  #authority: Authority | undefined
  #route: TunnelRoute = 'gateway'
  #stageBeganAt = 0
  #dialMs: number | undefined
  #connectMs: number | undefined
  #firstByteMs: number | undefined
  #wasOpen = false
  #reason: TunnelEndReason | undefined
  #refusedBy: ErrorCode | undefined
  #brokenBy: ErrorCode | undefined
  /** Whether what comes next are the target's first bytes. */
  awaitsFirstByte = false

  constructor(monitor: RelayMonitor, now: number) {
    this.#monitor = monitor
    this.#id = monitor.accepted()
    this.#acceptedAt = now
  }

  /** What the logs call the tunnel; undefined when none is kept. */
  get requestId(): string | undefined {
    return this.#monitor.requestIdOf(this.#id)
  }

  get isBroken(): boolean {
    return this.#brokenBy !== undefined
  }

  facts(now: number): Omit<TunnelFacts, 'state' | 'bytesUp' | 'bytesDown'> {
    return {
      id: this.#id,
      requestId: this.requestId,
      authority: this.#authority && formatAuthority(this.#authority),
      host: this.#authority?.host,
      port: this.#authority?.port,
      route: this.#route,
      ageMs: now - this.#acceptedAt,
      dialMs: this.#dialMs,
      connectMs: this.#connectMs,
      firstByteMs: this.#firstByteMs,
    }
  }

  /** The head is good. */
  asksFor(authority: Authority): void {
    this.#authority = authority
  }

  /** The way to the target is being opened. */
  dials(route: TunnelRoute, now: number): void {
    this.#route = route
    this.#stageBeganAt = now
  }

  /** @param isWarm the WebSocket was open before, so that its dial was not waited for */
  connected(isWarm: boolean, now: number): void {
    const dialMs = this.#endStage(now)
    if (isWarm) return
    this.#dialMs = dialMs
    this.#monitor.took('dial', dialMs, this.#route)
  }

  answered(isOpen: boolean, now: number): void {
    this.#connectMs = this.#endStage(now)
    this.#monitor.took('connect', this.#connectMs, this.#route)
    this.#wasOpen = isOpen
    this.awaitsFirstByte = isOpen
    if (!isOpen) this.#reason = 'gateway-refused'
  }

  gotFirstByte(now: number): void {
    this.awaitsFirstByte = false
    this.#firstByteMs = this.#endStage(now)
    this.#monitor.took('firstByte', this.#firstByteMs, this.#route)
  }

  refused(code: ErrorCode): void {
    this.#refusedBy = code
  }

  /** The last word counts. */
  broke(code: ErrorCode): void {
    this.#brokenBy = code
  }

  /** Any number of times; what came first is the reason. */
  ends(event: TunnelEvent | 'defect', hasClientEnded: boolean): void {
    this.#reason ??= reasonOf(event, hasClientEnded)
  }

  /** It is over, and told. */
  closed(facts: () => TunnelFacts, now: number): void {
    if (this.#wasOpen) this.#monitor.took('age', now - this.#acceptedAt, this.#route)
    this.#monitor.closed(() => ({ ...facts(), ...this.#end() }), this.#brokenBy)
  }

  #end(): Pick<TunnelEnd, 'outcome' | 'reason' | 'code'> {
    const reason = this.#reason ?? 'given-up'
    return { outcome: this.#outcome(reason), reason, code: this.#refusedBy ?? this.#brokenBy }
  }

  #outcome(reason: TunnelEndReason): TunnelOutcome {
    if (reason === 'refused' || reason === 'gateway-refused') return 'refused'
    if (this.#brokenBy !== undefined) return 'broken'
    return this.#wasOpen ? 'completed' : 'abandoned'
  }

  #endStage(now: number): number {
    const tookMs = now - this.#stageBeganAt
    this.#stageBeganAt = now
    return tookMs
  }
}

function reasonOf(event: TunnelEvent | 'defect', hasClientEnded: boolean): TunnelEndReason {
  switch (event) {
    case 'client-end':
      return 'client-ended'
    case 'client-gone':
      return 'client-gone'
    case 'gateway-end':
      // The end of a client's upload reaches the target inside the stream, and is answered by the target's end.
      return hasClientEnded ? 'client-ended' : 'target-ended'
    case 'gateway-lost':
      return 'connection-lost'
    case 'refuse':
      return 'refused'
    default:
      return 'given-up'
  }
}
