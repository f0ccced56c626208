// What the relay tells about itself: counters, and events on node:diagnostics_channel that cost nothing while nobody listens.

import { channel } from 'node:diagnostics_channel'
import type { ErrorCode } from '../errors.js'
import type { WarmStatistics } from './warm-pool.js'

/** Which way a tunnel takes: over the gateway, or past it to a target that NO_PROXY names. */
export type TunnelRoute = 'gateway' | 'bypass'

/** Facts of one tunnel, as every event about it carries them. */
export interface TunnelFacts {
  readonly id: number
  /** `host:port` of the CONNECT; undefined while it is not known. */
  readonly authority: string | undefined
  readonly route: TunnelRoute
  /** Payload bytes from the client, and to the client. */
  readonly bytesUp: number
  readonly bytesDown: number
  /** Milliseconds since the client was accepted. */
  readonly ageMs: number
}

/** Counters since the start of the relay. */
export interface RelayStatistics {
  readonly tunnels: {
    readonly open: number
    readonly accepted: number
    readonly established: number
    /** Refused by the relay, by code. */
    readonly refused: Readonly<Partial<Record<ErrorCode, number>>>
    /** Refused by the gateway: it answered something other than 200. */
    readonly refusedByGateway: number
    /** Broken after they were established, by code. */
    readonly broken: Readonly<Partial<Record<ErrorCode, number>>>
  }
  /** Over the gateway. */
  readonly bytesUp: number
  readonly bytesDown: number
  /** Past the gateway, to targets that NO_PROXY names; in none of the numbers above but `open` and `accepted`, and the codes. */
  readonly bypassed: {
    readonly established: number
    readonly bytesUp: number
    readonly bytesDown: number
  }
  /** WebSockets that were opened before they were needed. */
  readonly warm: WarmStatistics
}

const CHANNELS = {
  /** A CONNECT head was accepted: TunnelFacts. */
  open: channel('ccr-upstream-proxy:tunnel:open'),
  /** The gateway answered 200, or the target past it is connected: TunnelFacts. */
  established: channel('ccr-upstream-proxy:tunnel:established'),
  /** A tunnel is over: TunnelFacts and `code`, undefined for a normal end. */
  close: channel('ccr-upstream-proxy:tunnel:close'),
  /** A client got no tunnel: TunnelFacts and `code`, undefined when the gateway refused. */
  refuse: channel('ccr-upstream-proxy:tunnel:refuse'),
  /** The relay itself: `{ state: 'listening' | 'closing' | 'closed', port }`. */
  state: channel('ccr-upstream-proxy:state'),
}

interface RouteTraffic {
  established: number
  bytesUp: number
  bytesDown: number
}

/** The counters of one relay, and its voice on the channels. */
export class RelayMonitor {
  #open = 0
  #accepted = 0
  #refusedByGateway = 0
  readonly #traffic: Record<TunnelRoute, RouteTraffic> = {
    gateway: { established: 0, bytesUp: 0, bytesDown: 0 },
    bypass: { established: 0, bytesUp: 0, bytesDown: 0 },
  }
  readonly #refused: Partial<Record<ErrorCode, number>> = {}
  readonly #broken: Partial<Record<ErrorCode, number>> = {}

  get openTunnels(): number {
    return this.#open
  }

  /** A client was accepted; the number is its tunnel's id. */
  accepted(): number {
    this.#open++
    return ++this.#accepted
  }

  connecting(facts: () => TunnelFacts): void {
    if (CHANNELS.open.hasSubscribers) CHANNELS.open.publish(facts())
  }

  established(facts: () => TunnelFacts, route: TunnelRoute): void {
    this.#traffic[route].established++
    if (CHANNELS.established.hasSubscribers) CHANNELS.established.publish(facts())
  }

  /** @param code the relay's reason; undefined when the gateway refused */
  refused(facts: () => TunnelFacts, code: ErrorCode | undefined): void {
    if (code === undefined) this.#refusedByGateway++
    else this.#refused[code] = (this.#refused[code] ?? 0) + 1
    if (CHANNELS.refuse.hasSubscribers) CHANNELS.refuse.publish({ ...facts(), code })
  }

  /** @param code why an established tunnel broke; undefined for every other end */
  closed(facts: () => TunnelFacts, code: ErrorCode | undefined): void {
    this.#open--
    if (code !== undefined) this.#broken[code] = (this.#broken[code] ?? 0) + 1
    if (CHANNELS.close.hasSubscribers) CHANNELS.close.publish({ ...facts(), code })
  }

  countUp(bytes: number, route: TunnelRoute): void {
    this.#traffic[route].bytesUp += bytes
  }

  countDown(bytes: number, route: TunnelRoute): void {
    this.#traffic[route].bytesDown += bytes
  }

  state(state: 'listening' | 'closing' | 'closed', port: number): void {
    if (CHANNELS.state.hasSubscribers) CHANNELS.state.publish({ state, port })
  }

  /** A copy of the counters. */
  statistics(): Omit<RelayStatistics, 'warm'> {
    const { gateway, bypass } = this.#traffic
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
      bypassed: { ...bypass },
    }
  }
}
