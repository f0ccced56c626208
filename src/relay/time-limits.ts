// How long a tunnel may rest in each state, and what it is told when it rested for longer.

import { type ErrorCode, UpstreamProxyError } from '../errors.js'
import type { TunnelState } from '../protocol/tunnel-state.js'
import type { TunnelRoute } from './channels.js'
import type { RelayLimits } from './limits.js'

interface TimeLimit {
  readonly limitMs: number
  readonly code: ErrorCode
  readonly message: string
}

/** Where a tunnel stands. */
export interface TunnelStanding {
  readonly state: TunnelState
  readonly route: TunnelRoute
  readonly isClientFlushed: boolean
  /** Whether the client speaks TLS. */
  readonly isTls: boolean
}

/**
 * Whether a half-closed tunnel has rested for so long that nobody waits for anything: a client that has got everything, or one of
 * TLS, which ends both directions at once (RFC 8446, section 6.1, allows otherwise; clients do not).
 */
export function isAbandoned({ state, isTls }: TunnelStanding, restedMs: number, limits: RelayLimits): boolean {
  if (state === 'half-closed-remote') return restedMs >= limits.lingerMs
  return state === 'half-closed' && isTls && restedMs >= limits.closeLingerMs
}

/** The error for a tunnel that has rested for too long where it stands; undefined while it may go on. */
export function checkTimeLimit(
  standing: TunnelStanding,
  restedMs: number,
  limits: RelayLimits,
): UpstreamProxyError | undefined {
  const { limitMs, code, message } = timeLimitOf(standing, limits)
  if (limitMs === 0 || restedMs < limitMs) return undefined
  return new UpstreamProxyError(code, `${message} within ${limitMs} ms`, { side: 'remote' })
}

function timeLimitOf({ state, route, isClientFlushed }: TunnelStanding, limits: RelayLimits): TimeLimit {
  switch (state) {
    case 'reading-head':
      return { limitMs: limits.headTimeoutMs, code: 'head-timeout', message: 'the request head did not come' }
    case 'dialling':
      return route === 'gateway'
        ? {
            limitMs: limits.dialTimeoutMs,
            code: 'gateway-dial-timeout',
            message: 'the gateway did not accept the WebSocket',
          }
        : { limitMs: limits.dialTimeoutMs, code: 'target-timeout', message: 'the target did not accept a connection' }
    case 'waiting-for-answer':
      return {
        limitMs: limits.answerTimeoutMs,
        code: 'gateway-answer-timeout',
        message: 'the gateway did not answer the CONNECT',
      }
    case 'open':
      return { limitMs: limits.idleTimeoutMs, code: 'tunnel-expired', message: 'nothing moved' }
    case 'half-closed-remote':
    case 'half-closed':
      return {
        limitMs: limits.lingerMs,
        code: 'tunnel-expired',
        message: 'nothing came for the half-closed client',
      }
    case 'refused':
      return { limitMs: limits.closeLingerMs, code: 'tunnel-expired', message: 'the gateway did not end its refusal' }
    case 'ending':
      return {
        limitMs: isClientFlushed ? limits.closeLingerMs : limits.lingerMs,
        code: 'tunnel-expired',
        message: 'the client did not take the last bytes and close',
      }
    case 'closed':
      return { limitMs: 0, code: 'tunnel-expired', message: '' }
  }
}
