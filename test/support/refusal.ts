// The form of every answer that the relay itself gives to a client, checked from the outside.

import assert from 'node:assert/strict'
import { ERROR_CODES } from '#src/index.js'
import type { RawAnswer } from './raw-client.js'

/** RFC 9209, section 2.3: every error type. */
const PROXY_ERROR_TYPES = new Set(
  `dns_timeout dns_error destination_not_found destination_unavailable destination_ip_prohibited
  destination_ip_unroutable connection_refused connection_terminated connection_timeout connection_read_timeout
  connection_write_timeout connection_limit_reached tls_protocol_error tls_certificate_error tls_alert_received
  http_request_error http_request_denied http_response_incomplete http_response_header_section_size
  http_response_header_size http_response_body_size http_response_trailer_section_size http_response_trailer_size
  http_response_transfer_coding http_response_content_coding http_response_timeout http_upgrade_failed
  http_protocol_error proxy_internal_response proxy_internal_error proxy_configuration_error
  proxy_loop_detected`.split(/\s+/),
)

/** Asserts the form that every answer of the relay itself has. */
export function assertRefusal(answer: RawAnswer, status: number, code: keyof typeof ERROR_CODES): void {
  assert.equal(answer.status, status, answer.statusLine)
  assert.deepEqual(Object.keys(answer.headers).toSorted(), [
    ...(status === 405 ? ['allow'] : []),
    'connection',
    'content-length',
    'content-type',
    'proxy-status',
  ])
  const { headers } = answer
  assert.equal(headers.connection, 'close')
  assert.equal(headers['content-type'], 'application/json')
  if (status === 405) assert.equal(headers.allow, 'CONNECT')
  const proxyStatus = /^ccr-upstream-proxy; error=([a-z_]+); details="([a-z-]+)"$/.exec(headers['proxy-status'] ?? '')
  assert.ok(proxyStatus, headers['proxy-status'])
  assert.ok(PROXY_ERROR_TYPES.has(proxyStatus[1] as string), proxyStatus[1])
  assert.equal(proxyStatus[2], code)
  const body = JSON.parse(answer.body) as Record<string, unknown>
  assert.deepEqual(Object.keys(body), ['hop', 'code', 'message', 'hint', 'retryable'])
  assert.equal(body.hop, 'relay')
  assert.equal(body.code, code)
  assert.equal(typeof body.message, 'string')
  assert.equal(body.hint, ERROR_CODES[code].hint)
  assert.equal(typeof body.retryable, 'boolean')
}
