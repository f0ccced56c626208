// The way of one tunnel from the relay to its target. Two things are such a way: a WebSocket to the gateway
// (gateway-carrier.ts), and for targets of NO_PROXY a connection past it (bypass-carrier.ts).

import type { UpstreamProxyError } from '../errors.js'

/** What carries a tunnel's bytes. */
export interface Carrier {
  /** Whether it was open before the tunnel asked for it; final once it is connected. */
  readonly isWarm: boolean
  /** Whether it may be gone without a sign: then another one may take its place, and what the client says waits for the answer. */
  readonly isDoubtful: boolean
  /** Bytes that the system has not taken yet. */
  readonly queuedBytes: number
  /** Asks for the target and sends what the client has said already; once, when the carrier is connected. False: wait for a drain. */
  begin(held: readonly Uint8Array[]): boolean
  /** Sends `bytes`, of which nothing is kept; false: wait for `carrierOnDrain` before the next. */
  send(bytes: Uint8Array): boolean
  /** The client has sent its FIN. */
  endSending(): void
  pauseReading(): void
  resumeReading(): void
  /** Looks whether the far end is still there; once begun, from time to time. */
  keepAlive(isReadingPaused: boolean): void
  /** Lets go in order: what was sent still arrives. */
  close(): void
  /** Drops everything at once. */
  terminate(): void
}

/** What a carrier tells its tunnel. Before `carrierOnConnected` only a failure can come; failure and end are final. */
export interface CarrierHandler {
  /** The way is open, and waits for begin(). */
  carrierOnConnected(): void
  /** The target can be talked to, or not; `bytes` say so to the client. */
  carrierOnAnswer(isOpen: boolean, bytes: Uint8Array): void
  carrierOnData(bytes: Uint8Array): void
  carrierOnDrain(): void
  carrierOnFailure(error: UpstreamProxyError): void
  /** The far side sends no more; what the client sends is still carried. */
  carrierOnRemoteEnd(): void
  /** The far side has ended in order, in both directions. */
  carrierOnEnd(): void
  /** An exception from within, which is a defect of this package. */
  carrierOnDefect(thrown: unknown): void
}
