// What the relay itself answers to a client that gets no tunnel: one whole HTTP response that says which hop refused and
// why. RFC 9209 for Proxy-Status; RFC 9931 for closing the connection behind it without reading another request.

import { STATUS_CODES } from 'node:http'
import { factsOf, type UpstreamProxyError } from '../errors.js'

/** The bytes of the answer for `error`. The reason stands in the status line too: most clients show only that. */
export function encodeRefusal(error: UpstreamProxyError): Uint8Array {
  const { status = 500, proxyError = 'proxy_internal_error', retryable = false } = factsOf(error.code)
  const { code, hint } = error
  const message = visibleAscii(error.message)
  const body = `${JSON.stringify({ hop: 'relay', code, message, hint, retryable })}\n`
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}: ${message}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    `Proxy-Status: ccr-upstream-proxy; error=${proxyError}; details="${code}"`,
    ...(error.retryAfterMs === undefined ? [] : [`Retry-After: ${Math.ceil(error.retryAfterMs / 1_000)}`]),
    ...(status === 405 ? ['Allow: CONNECT'] : []),
  ]
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body}`)
}

function visibleAscii(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?')
}
