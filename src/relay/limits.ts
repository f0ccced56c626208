// Every limit of the relay, with its default and the reason for it. Each is an option of startRelay().

import { UpstreamProxyError } from '../errors.js'
import { MAX_MESSAGE_BYTES } from '../protocol/chunk.js'

/** Milliseconds that open tunnels get when a relay is closed. */
export const DEFAULT_CLOSE_GRACE_MS = 5_000

export interface RelayLimits {
  /** Bytes of a CONNECT head. 16,384, as Node's own HTTP parser. */
  readonly maxHeadBytes: number
  /** Fields of a CONNECT head. 100; real clients send fewer than ten. */
  readonly maxHeaders: number
  /** Milliseconds for a whole CONNECT head. 10,000: clients on loopback send it at once. */
  readonly headTimeoutMs: number
  /** Milliseconds from dialling the gateway to its 101. 15,000: four round trips on a bad link. */
  readonly dialTimeoutMs: number
  /** Milliseconds for the egress proxy's answer. 10,000: less than for the whole dial, so that the right hop is named. */
  readonly egressTimeoutMs: number
  /** Milliseconds for the gateway's answer to the CONNECT. 60,000: it dials the destination meanwhile. */
  readonly answerTimeoutMs: number
  /** Tunnels at once. 4,096: what a process may open by default is often 8,192, and a tunnel takes two. */
  readonly maxTunnels: number
  /** WebSockets that are opened before they are needed, at most. 8; 0 is none. How many there are follows the demand. */
  readonly maxWarmTunnels: number
  /**
   * Milliseconds after which a warm WebSocket that is silent may be gone without a sign: one that was heard within that time is
   * believed, and where one is not heard for as long after its hand-over, another is dialled. 2,000: a lost packet comes again
   * before.
   */
  readonly warmSilenceMs: number
  /** Bytes of one WebSocket message that is sent. 32,768: common Go readers stop there. */
  readonly maxSentMessageBytes: number
  /** Bytes of one WebSocket message that is accepted. 4 MiB: no gateway sends nearly as much. */
  readonly maxReceivedMessageBytes: number
  /** Bytes waiting in one direction of a tunnel at which its sender is paused. 1 MiB: a 100 ms link at 80 Mbit/s. */
  readonly highWaterMarkBytes: number
  /** Bytes at which it goes on. 256 KiB, so that the link never runs dry. */
  readonly lowWaterMarkBytes: number
  /** Milliseconds that a half-closed or ending tunnel may rest since its last byte. 60,000, as most load balancers. */
  readonly lingerMs: number
  /** Milliseconds that a client may take to close after it got everything, and one of TLS may rest after its FIN. 5,000. */
  readonly closeLingerMs: number
  /** Milliseconds between pings to the gateway. 20,000: a third of what common middleboxes cut at. */
  readonly pingIntervalMs: number
  /** Milliseconds for the pong to the second ping in a row. 4,000: a dead gateway is found within 45 seconds. */
  readonly pongTimeoutMs: number
  /** Milliseconds that a gateway may take nothing of what waits for it. 300,000: then it is taken for dead. */
  readonly stallTimeoutMs: number
  /** Milliseconds that an open tunnel may rest. 0, the default, is for ever: WebSockets and watches rest for hours. */
  readonly idleTimeoutMs: number
}

export const DEFAULT_RELAY_LIMITS: RelayLimits = {
  maxHeadBytes: 16_384,
  maxHeaders: 100,
  headTimeoutMs: 10_000,
  dialTimeoutMs: 15_000,
  egressTimeoutMs: 10_000,
  answerTimeoutMs: 60_000,
  maxTunnels: 4_096,
  maxWarmTunnels: 8,
  warmSilenceMs: 2_000,
  maxSentMessageBytes: MAX_MESSAGE_BYTES,
  maxReceivedMessageBytes: 4 * 1024 * 1024,
  highWaterMarkBytes: 1024 * 1024,
  lowWaterMarkBytes: 256 * 1024,
  lingerMs: 60_000,
  closeLingerMs: 5_000,
  pingIntervalMs: 20_000,
  pongTimeoutMs: 4_000,
  stallTimeoutMs: 300_000,
  idleTimeoutMs: 0,
}

/** Limits that are off at 0. */
const MAY_BE_ZERO: ReadonlySet<string> = new Set(['idleTimeoutMs', 'maxWarmTunnels'])

/**
 * The defaults with `overrides` put in.
 * @throws {UpstreamProxyError} `config-invalid` when a limit is no whole number in its range
 */
export function resolveLimits(overrides: Partial<RelayLimits> = {}): RelayLimits {
  const limits = { ...DEFAULT_RELAY_LIMITS, ...overrides }
  for (const [name, value] of Object.entries(limits)) {
    const least = MAY_BE_ZERO.has(name) ? 0 : 1
    if (!Number.isSafeInteger(value) || value < least)
      throw invalid(`${name} is not a whole number of at least ${least}`)
  }
  if (limits.maxSentMessageBytes > MAX_MESSAGE_BYTES) throw invalid(`maxSentMessageBytes is above ${MAX_MESSAGE_BYTES}`)
  if (limits.maxSentMessageBytes < 16) throw invalid('maxSentMessageBytes is below 16')
  if (limits.lowWaterMarkBytes > limits.highWaterMarkBytes)
    throw invalid('lowWaterMarkBytes is above highWaterMarkBytes')
  return limits
}

/** Milliseconds of silence in which two pings go unanswered. */
export function silenceLimitMs({ pingIntervalMs, pongTimeoutMs }: RelayLimits): number {
  return 2 * pingIntervalMs + pongTimeoutMs
}

function invalid(message: string): UpstreamProxyError {
  return new UpstreamProxyError('config-invalid', `limits: ${message}`)
}
