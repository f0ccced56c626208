// What one tunnel has been through: how long its stages took, and why it ended. The tunnel tells it; events, statistics and the
// log read it. It decides nothing.

import type { ErrorCode } from '../errors.js'
import type { TunnelEvent } from '../protocol/tunnel-state.js'
import type { TunnelEnd, TunnelEndReason, TunnelOutcome, TunnelRoute, TunnelStages } from './channels.js'
import type { RelayMonitor } from './monitor.js'

export class TunnelHistory {
  readonly #monitor: RelayMonitor
  readonly #acceptedAt: number
  #route: TunnelRoute = 'gateway'
  #stageBeganAt = 0
  #dialMs: number | undefined
  #connectMs: number | undefined
  #firstByteMs: number | undefined
  #wasOpen = false
  #reason: TunnelEndReason | undefined
  #refusedBy: ErrorCode | undefined
  /** Whether what comes next are the target's first bytes. */
  awaitsFirstByte = false

  constructor(monitor: RelayMonitor, now: number) {
    this.#monitor = monitor
    this.#acceptedAt = now
  }

  stages(): TunnelStages {
    return { dialMs: this.#dialMs, connectMs: this.#connectMs, firstByteMs: this.#firstByteMs }
  }

  ageMs(now: number): number {
    return now - this.#acceptedAt
  }

  /** The head is good, and the way to the target is being opened. */
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

  /** Any number of times; what came first is the reason. */
  ends(event: TunnelEvent | 'defect', hasClientEnded: boolean): void {
    this.#reason ??= reasonOf(event, hasClientEnded)
  }

  closed(now: number): void {
    if (this.#wasOpen) this.#monitor.took('age', this.ageMs(now), this.#route)
  }

  /** How it ended; once it is closed. */
  end(brokenBy: ErrorCode | undefined): Pick<TunnelEnd, 'outcome' | 'reason' | 'code'> {
    const reason = this.#reason ?? 'given-up'
    return { outcome: this.#outcome(reason, brokenBy), reason, code: this.#refusedBy ?? brokenBy }
  }

  #outcome(reason: TunnelEndReason, brokenBy: ErrorCode | undefined): TunnelOutcome {
    if (reason === 'refused' || reason === 'gateway-refused') return 'refused'
    if (brokenBy !== undefined) return 'broken'
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
