// What the relay tells about itself: counters, histograms, and events on the channels, whose messages are not made while nobody
// listens.

import type { ErrorCode } from '../errors.js'
import {
  CHANNELS,
  type RelayState,
  type TunnelEnd,
  type TunnelFacts,
  type TunnelRefusal,
  type TunnelRoute,
} from './channels.js'
import { AGE_BOUNDS_MS, Histogram, type HistogramCounts, STAGE_BOUNDS_MS } from './histogram.js'
import type { TunnelLog, TunnelLogStatistics } from './tunnel-log.js'
import type { WarmStatistics } from './warm-pool.js'

/** Counters since the start of the relay. */
export interface RelayStatistics {
  readonly tunnels: {
    /** Open now; clients whose head has not come yet are among them. */
    readonly open: number
    /** Clients that connected. */
    readonly accepted: number
    /** Opened by the gateway's 200. */
    readonly established: number
    /** Refused by the relay, by code. */
    readonly refused: Readonly<Partial<Record<ErrorCode, number>>>
    /** Refused by the gateway: it answered something other than 200. */
    readonly refusedByGateway: number
    /** Broken after they were established, by code. */
    readonly broken: Readonly<Partial<Record<ErrorCode, number>>>
  }
  /** Payload bytes over the gateway, from clients and to clients. */
  readonly bytesUp: number
  readonly bytesDown: number
  /** How long tunnels over the gateway took. */
  readonly latencies: RelayLatencies
  /** Past the gateway, to targets that NO_PROXY names; in none of the numbers above but `open` and `accepted`, and the codes. */
  readonly bypassed: {
    readonly established: number
    readonly bytesUp: number
    readonly bytesDown: number
  }
  /** WebSockets that were opened before they were needed. */
  readonly warm: WarmStatistics
  /** Lines of the tunnel log; undefined when none is kept. */
  readonly tunnelLog: TunnelLogStatistics | undefined
}

/** What is measured of a tunnel. */
export interface RelayLatencies {
  /** DNS, TCP, TLS and upgrade of WebSockets that a client waited for. */
  readonly dial: HistogramCounts
  /** From the CONNECT to the gateway's answer, whichever it is. */
  readonly connect: HistogramCounts
  /** From a 200 to the first message behind it: the target's first bytes. */
  readonly firstByte: HistogramCounts
  /** From the client's connection to the end of its tunnel, for those that were established. */
  readonly age: HistogramCounts
}

interface RouteTraffic {
  established: number
  bytesUp: number
  bytesDown: number
}

/** The counters of one relay, and its voice on the channels. */
export class RelayMonitor {
  readonly #log: TunnelLog | undefined
  #open = 0
  #accepted = 0
  #refusedByGateway = 0
  readonly #traffic: Record<TunnelRoute, RouteTraffic> = {
    gateway: { established: 0, bytesUp: 0, bytesDown: 0 },
    bypass: { established: 0, bytesUp: 0, bytesDown: 0 },
  }
  readonly #refused: Partial<Record<ErrorCode, number>> = {}
  readonly #broken: Partial<Record<ErrorCode, number>> = {}
  readonly #latencies: Record<keyof RelayLatencies, Histogram> = {
    dial: new Histogram(STAGE_BOUNDS_MS),
    connect: new Histogram(STAGE_BOUNDS_MS),
    firstByte: new Histogram(STAGE_BOUNDS_MS),
    age: new Histogram(AGE_BOUNDS_MS),
  }

  constructor(log: TunnelLog | undefined) {
    this.#log = log
  }

  /** A client was accepted; the number is its tunnel's id. */
  accepted(): number {
    this.#open++
    return ++this.#accepted
  }

  /** What the logs call a tunnel; undefined when none is kept. */
  requestIdOf(id: number): string | undefined {
    return this.#log?.requestIdOf(id)
  }

  connecting(facts: () => TunnelFacts): void {
    CHANNELS.open.publish(facts)
  }

  established(facts: () => TunnelFacts, route: TunnelRoute): void {
    this.#traffic[route].established++
    CHANNELS.established.publish(facts)
  }

  refused(refusal: () => TunnelRefusal, code: ErrorCode | undefined): void {
    if (code === undefined) this.#refusedByGateway++
    else this.#refused[code] = (this.#refused[code] ?? 0) + 1
    CHANNELS.refuse.publish(refusal)
  }

  /** @param brokenBy why an established tunnel broke; undefined for every other end */
  closed(end: () => TunnelEnd, brokenBy: ErrorCode | undefined): void {
    this.#open--
    if (brokenBy !== undefined) this.#broken[brokenBy] = (this.#broken[brokenBy] ?? 0) + 1
    if (this.#log === undefined && !CHANNELS.close.hasSubscribers) return
    // Made once: the log and the listeners are told the same.
    const message = end()
    this.#log?.write(message)
    CHANNELS.close.publish(() => message)
  }

  countUp(bytes: number, route: TunnelRoute): void {
    this.#traffic[route].bytesUp += bytes
  }

  countDown(bytes: number, route: TunnelRoute): void {
    this.#traffic[route].bytesDown += bytes
  }

  /** A measurement; only those of the gateway's route count. */
  took(what: keyof RelayLatencies, ms: number, route: TunnelRoute): void {
    if (route === 'gateway') this.#latencies[what].record(ms)
  }

  state(state: RelayState, port: number): void {
    CHANNELS.state.publish(() => ({ state, port }))
  }

  /** A copy of the counters. */
  statistics(): Omit<RelayStatistics, 'warm'> {
    const { gateway, bypass } = this.#traffic
    const { dial, connect, firstByte, age } = this.#latencies
    return {
      tunnels: {
        open: this.#open,
        accepted: this.#accepted,
        established: gateway.established,
        refused: { ...this.#refused },
        refusedByGateway: this.#refusedByGateway,
        broken: { ...this.#broken },
      },
      bytesUp: gateway.bytesUp,
      bytesDown: gateway.bytesDown,
      latencies: { dial: dial.copy(), connect: connect.copy(), firstByte: firstByte.copy(), age: age.copy() },
      bypassed: { ...bypass },
      tunnelLog: this.#log?.statistics(),
    }
  }
}
