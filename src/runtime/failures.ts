// Foreign failures on the way to the gateway, and past it, turned into our errors by their own codes.

import { type ErrorCode, UpstreamProxyError } from '../errors.js'
import type { EgressProxy, EgressVerdict } from '../protocol/egress-proxy.js'
import type { FrameFault } from '../protocol/frame-reader.js'
import { parseRetryAfter } from '../protocol/retry-after.js'

/**
 * The gateway answered the upgrade with something other than 101.
 * @param retryAfter the field of that name, which counts where the gateway is overloaded
 */
export function upgradeRefused(status: number, retryAfter?: string): UpstreamProxyError {
  const code = upgradeRefusalCode(status)
  const counts = code === 'gateway-overloaded' && retryAfter !== undefined
  return new UpstreamProxyError(code, `the gateway answered the upgrade with ${status}`, {
    side: 'remote',
    retryAfterMs: counts ? parseRetryAfter(retryAfter, Date.now()) : undefined,
  })
}

/** The gateway's 101 does not open a WebSocket. */
export function notWebSocket(detail: string): UpstreamProxyError {
  const message = `the gateway answered the upgrade with ${detail}`
  return new UpstreamProxyError('gateway-upgrade-refused', message, { side: 'remote' })
}

function upgradeRefusalCode(status: number): ErrorCode {
  if (status === 401 || status === 403) return 'gateway-token-refused'
  if (status === 429 || status === 503) return 'gateway-overloaded'
  return 'gateway-upgrade-refused'
}

/**
 * No connection to the gateway, or none that speaks HTTP.
 * @param code of the system, of OpenSSL or of the HTTP parser; '' when there is none
 */
export function dialFailed(code: string): UpstreamProxyError {
  const message = `the gateway cannot be reached (${code || 'its answer is not valid HTTP'})`
  return new UpstreamProxyError(dialFailureCode(code), message, { side: 'remote' })
}

/** Nothing on the way to the gateway has answered. */
export function gatewaySilent(timeoutMs: number): UpstreamProxyError {
  const message = `the gateway accepted no connection within ${timeoutMs} ms`
  return new UpstreamProxyError('gateway-silent', message, { side: 'remote' })
}

function dialFailureCode(code: string): ErrorCode {
  if (isDnsCode(code)) return 'gateway-dns-failed'
  if (isDescriptorCode(code)) return 'descriptors-exhausted'
  // The certificate that verifies but for its first day says more of a clock than of the certificate.
  if (code === 'CERT_NOT_YET_VALID') return 'clock-skew'
  if (isTlsCode(code)) return 'gateway-tls-failed'
  return code === '' || code.startsWith('HPE_') ? 'gateway-upgrade-refused' : 'gateway-unreachable'
}

/** Codes of getaddrinfo(3), and Bun's own. */
function isDnsCode(code: string): boolean {
  return /^(?:ENOTFOUND|EAI_AGAIN|EAI_FAIL|ENODATA|DNS_ENOTFOUND)$/.test(code)
}

function isDescriptorCode(code: string): boolean {
  return code === 'EMFILE' || code === 'ENFILE'
}

/** OpenSSL's names for a certificate that does not verify (openssl-verify(1)), and the runtimes' own for TLS failures. */
function isTlsCode(code: string): boolean {
  return /^(?:ERR_TLS_|ERR_SSL_|EPROTO$|CERT_|CRL_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_CA|HOSTNAME_MISMATCH)/.test(
    code,
  )
}

/** A WebSocket that was open broke a rule of its protocol, or its connection did. */
export function socketBroke(code: string): UpstreamProxyError {
  return new UpstreamProxyError('gateway-protocol-error', `the WebSocket broke (${code})`, { side: 'remote' })
}

/** The gateway sent what it must not. */
export function faultReceived({ detail }: FrameFault): UpstreamProxyError {
  return new UpstreamProxyError('gateway-protocol-error', `the gateway sent ${detail}`, { side: 'remote' })
}

// -- The egress proxy on the way --------------------------------------------------------------------------------------------

/** No connection to the egress proxy, or none that speaks HTTP. */
export function egressUnreachable({ url }: EgressProxy, why: string): UpstreamProxyError {
  return new UpstreamProxyError('egress-unreachable', `the egress proxy ${url.host} cannot be reached (${why})`, {
    side: 'remote',
  })
}

/** The egress proxy was silent for too long. */
export function egressTimeout({ url }: EgressProxy, timeoutMs: number): UpstreamProxyError {
  return new UpstreamProxyError(
    'egress-timeout',
    `the egress proxy ${url.host} did not answer within ${timeoutMs} ms`,
    {
      side: 'remote',
    },
  )
}

/**
 * The egress proxy answered the CONNECT with something other than 2xx. 407 asks for credentials (RFC 9110, section
 * 15.5.8); tinyproxy says 401 to wrong ones.
 */
export function egressRefused(status: number): UpstreamProxyError {
  const isAboutCredentials = status === 407 || status === 401
  const code = isAboutCredentials ? 'egress-authentication-required' : 'egress-refused'
  return new UpstreamProxyError(code, `the egress proxy refused the connection with status ${status}`, {
    side: 'remote',
  })
}

/** What the egress proxy said does not open the way. */
export function egressRefusal(verdict: Exclude<EgressVerdict, { kind: 'open' | 'incomplete' }>): UpstreamProxyError {
  if (verdict.kind === 'refused') return egressRefused(verdict.status)
  return new UpstreamProxyError('egress-refused', 'the egress proxy did not answer in HTTP', { side: 'remote' })
}

// -- Targets that go past the gateway ------------------------------------------------------------------------------------

/**
 * No connection to a target of NO_PROXY.
 * @param code of the system; '' when there is none
 */
export function targetFailed(authority: string, code: string): UpstreamProxyError {
  const message = `${authority}, which NO_PROXY names, cannot be reached (${code || 'it failed'})`
  return new UpstreamProxyError(targetFailureCode(code), message, { side: 'remote' })
}

function targetFailureCode(code: string): ErrorCode {
  if (isDnsCode(code)) return 'target-dns-failed'
  return isDescriptorCode(code) ? 'descriptors-exhausted' : 'target-unreachable'
}
