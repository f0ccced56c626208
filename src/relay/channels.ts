// What the relay tells on node:diagnostics_channel: the name of each channel and the shape of its messages. They are public:
// fields may be added, none changes or goes. A message is made only while somebody listens, and none holds a secret.

import { type Channel, channel } from 'node:diagnostics_channel'
import type { ErrorCode } from '../errors.js'
import type { TunnelState } from '../protocol/tunnel-state.js'

/** Which way a tunnel takes: over the gateway, or past it to a target that NO_PROXY names. */
export type TunnelRoute = 'gateway' | 'bypass'

/** Milliseconds that each stage of a tunnel took; undefined where it is not over, or was never begun. */
export interface TunnelStages {
  /** DNS, TCP, TLS and upgrade of the WebSocket, or the connection past the gateway; undefined too where a warm one was there. */
  readonly dialMs: number | undefined
  /** From the CONNECT to the gateway's answer. */
  readonly connectMs: number | undefined
  /** From a 200 to the first message behind it: the target's first bytes. */
  readonly firstByteMs: number | undefined
}

/** Facts of one tunnel, as every event about it carries them. */
export interface TunnelFacts extends TunnelStages {
  /** Counted from 1 in each relay. */
  readonly id: number
  /** What the gateway's records of the tunnel are joined by; undefined when no tunnel log is kept. */
  readonly requestId: string | undefined
  /** `host:port` of the CONNECT; undefined while it is not known. */
  readonly authority: string | undefined
  readonly host: string | undefined
  readonly port: number | undefined
  readonly route: TunnelRoute
  readonly state: TunnelState
  /** Payload bytes from the client, and to the client. */
  readonly bytesUp: number
  readonly bytesDown: number
  /** Milliseconds since the client was accepted. */
  readonly ageMs: number
}

/** A client got no tunnel. */
export interface TunnelRefusal extends TunnelFacts {
  /** The relay's reason; undefined when the gateway refused. */
  readonly code: ErrorCode | undefined
}

/**
 * What became of a tunnel: a whole stream, one that broke, none because it was refused, or none because the client went away
 * before there was an answer.
 */
export type TunnelOutcome = 'completed' | 'broken' | 'refused' | 'abandoned'

/** What ended a tunnel, whoever was first. */
export type TunnelEndReason =
  /** FIN from the client. */
  | 'client-ended'
  /** The client's connection broke. */
  | 'client-gone'
  /** The target, or the gateway for it, ended the stream in order. */
  | 'target-ended'
  /** The way to the target broke. */
  | 'connection-lost'
  /** The relay gave it up: a limit of time, its own end, or a defect; the code says which. */
  | 'given-up'
  /** The relay answered with an error. */
  | 'refused'
  /** The gateway answered something other than 200. */
  | 'gateway-refused'

/** A tunnel is over. */
export interface TunnelEnd extends TunnelFacts {
  readonly outcome: TunnelOutcome
  readonly reason: TunnelEndReason
  /** Why it broke or was refused; undefined for every other end, and for refusals by the gateway. */
  readonly code: ErrorCode | undefined
}

/** The relay itself. */
export interface RelayStateChange {
  readonly state: RelayState
  readonly port: number
}

export type RelayState = 'listening' | 'closing' | 'closed'

/** The message of each channel. */
export interface ChannelMessages {
  /** A CONNECT head was accepted. */
  'ccr-upstream-proxy:tunnel:open': TunnelFacts
  /** The gateway answered 200, or the target past it is connected. */
  'ccr-upstream-proxy:tunnel:established': TunnelFacts
  /** A tunnel is over, one that was refused included. */
  'ccr-upstream-proxy:tunnel:close': TunnelEnd
  'ccr-upstream-proxy:tunnel:refuse': TunnelRefusal
  'ccr-upstream-proxy:state': RelayStateChange
}

/** A channel that takes only its own messages, made by `message` when somebody listens. */
class TypedChannel<Name extends keyof ChannelMessages> {
  readonly name: Name
  readonly #channel: Channel

  constructor(name: Name) {
    this.name = name
    this.#channel = channel(name)
  }

  get hasSubscribers(): boolean {
    return this.#channel.hasSubscribers
  }

  publish(message: () => ChannelMessages[Name]): void {
    if (this.#channel.hasSubscribers) this.#channel.publish(message())
  }
}

export const CHANNELS = {
  open: new TypedChannel('ccr-upstream-proxy:tunnel:open'),
  established: new TypedChannel('ccr-upstream-proxy:tunnel:established'),
  close: new TypedChannel('ccr-upstream-proxy:tunnel:close'),
  refuse: new TypedChannel('ccr-upstream-proxy:tunnel:refuse'),
  state: new TypedChannel('ccr-upstream-proxy:state'),
}

/** Which of them. */
export type EventName = keyof typeof CHANNELS
