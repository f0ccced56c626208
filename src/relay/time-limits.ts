// How long a tunnel may rest in each state, and what it is told when it rested for longer.

import { type ErrorCode, UpstreamProxyError } from '../errors.js'
import type { TunnelState } from '../protocol/tunnel-state.js'
import type { RelayLimits } from './limits.js'

interface TimeLimit {
  readonly limitMs: number
  readonly code: ErrorCode
  readonly message: string
}

/** The error for a tunnel that has rested in `state` for too long; undefined while it may go on. */
export function checkTimeLimit(
  state: TunnelState,
  restedMs: number,
  isClientFlushed: boolean,
  limits: RelayLimits,
): UpstreamProxyError | undefined {
  const { limitMs, code, message } = timeLimitOf(state, isClientFlushed, limits)
  if (limitMs === 0 || restedMs < limitMs) return undefined
  return new UpstreamProxyError(code, `${message} within ${limitMs} ms`, { side: 'remote' })
}

function timeLimitOf(state: TunnelState, isClientFlushed: boolean, limits: RelayLimits): TimeLimit {
  switch (state) {
    case 'reading-head':
      return { limitMs: limits.headTimeoutMs, code: 'head-timeout', message: 'the request head did not come' }
    case 'dialling':
      return {
        limitMs: limits.dialTimeoutMs,
        code: 'gateway-dial-timeout',
        message: 'the gateway did not accept the WebSocket',
      }
    case 'waiting-for-answer':
      return {
        limitMs: limits.answerTimeoutMs,
        code: 'gateway-answer-timeout',
        message: 'the gateway did not answer the CONNECT',
      }
    case 'open':
      return { limitMs: limits.idleTimeoutMs, code: 'tunnel-expired', message: 'nothing moved' }
    case 'half-closed':
      return { limitMs: limits.lingerMs, code: 'tunnel-expired', message: 'nothing came for the half-closed client' }
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
