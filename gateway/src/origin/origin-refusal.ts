// What the runtime's errors on the way to an origin are for the client: by their code, never by their text.

import { Refusal } from '../refusal.js'

const REFUSAL_BY_ERROR_CODE: Readonly<
  Record<
    string,
    readonly ['connection-refused' | 'connection-failed' | 'connection-timeout' | 'connection-closed', string]
  >
> = {
  ECONNREFUSED: ['connection-refused', 'the origin refused the connection'],
  EHOSTUNREACH: ['connection-failed', 'the origin cannot be reached'],
  ENETUNREACH: ['connection-failed', 'the origin cannot be reached'],
  EADDRNOTAVAIL: ['connection-failed', 'the origin cannot be reached'],
  ETIMEDOUT: ['connection-timeout', 'the origin did not answer in time'],
  ERR_SOCKET_CONNECTION_TIMEOUT: ['connection-timeout', 'the origin did not answer in time'],
  ECONNRESET: ['connection-closed', 'the origin closed the connection'],
  EPIPE: ['connection-closed', 'the origin closed the connection'],
  ERR_HTTP2_GOAWAY_SESSION: ['connection-closed', 'the origin closed the connection'],
  ERR_HTTP2_INVALID_SESSION: ['connection-closed', 'the origin closed the connection'],
  ERR_HTTP2_SESSION_ERROR: ['connection-closed', 'the origin closed the connection'],
  ERR_HTTP2_STREAM_CANCEL: ['connection-closed', 'the origin closed the connection'],
  ERR_HTTP2_STREAM_ERROR: ['connection-closed', 'the origin closed the stream'],
}

/** What a failed connection or request to the origin is for the client. */
export function originRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error
  const code = errorCode(error)
  const known = REFUSAL_BY_ERROR_CODE[code]
  if (known !== undefined) return new Refusal(...known)
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new Refusal('response-head-too-large', "the head of the origin's answer is too large")
  }
  if (code.startsWith('ERR_HTTP2_')) return new Refusal('response-invalid', 'the origin does not speak valid HTTP/2')
  if (code.startsWith('HPE_')) return new Refusal('response-invalid', "the origin's answer is not valid HTTP/1.1")
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_')) {
    return new Refusal('tls-failed', 'the TLS handshake with the origin failed')
  }
  return new Refusal('internal', 'the gateway failed to reach the origin', undefined, error)
}

/** Empty without one. */
export function errorCode(error: unknown): string {
  const code = (error as { code?: unknown } | null | undefined)?.code
  return typeof code === 'string' ? code : ''
}
