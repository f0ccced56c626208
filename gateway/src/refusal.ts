// Every way the gateway says no: a closed list of codes, each with its HTTP status, its RFC 9209 error type and a hint,
// and the one shape in which all of them are answered, before and inside the intercepted TLS alike.
// Nothing here may hold a secret or an address that a name resolved to: an answer goes to the agent.

interface RefusalKind {
  readonly status: number
  readonly reason: string
  /** The error type of Proxy-Status (RFC 9209, section 2.3). */
  readonly proxyError: string
  readonly retryable: boolean
  readonly hint: string
}

function kind(status: number, reason: string, proxyError: string, retryable: boolean, hint: string): RefusalKind {
  return { status, reason, proxyError, retryable, hint }
}

const DENIED = 'http_request_denied'
const BAD_REQUEST = 'http_request_error'

/** What each code means; the keys are stable, the texts are not. */
export const REFUSALS = {
  // Before the WebSocket opens.
  unauthorized: kind(401, 'Unauthorized', DENIED, false, 'send the session token as Authorization: Bearer'),
  'session-expired': kind(401, 'Unauthorized', DENIED, false, 'the session has ended: ask for a new session token'),
  'keys-unavailable': kind(503, 'Service Unavailable', 'destination_unavailable', true, 'try again later'),
  'session-tunnels-exceeded': kind(
    429,
    'Too Many Requests',
    'connection_limit_reached',
    true,
    'close tunnels that are not needed, or try again later',
  ),
  'not-found': kind(404, 'Not Found', BAD_REQUEST, false, 'check the path in the base URL'),
  'upgrade-required': kind(426, 'Upgrade Required', BAD_REQUEST, false, 'open a WebSocket on this path'),
  'unsupported-media-type': kind(415, 'Unsupported Media Type', BAD_REQUEST, false, 'send application/proto'),
  'too-many-tunnels': kind(503, 'Service Unavailable', 'connection_limit_reached', true, 'try again later'),
  // The CONNECT head.
  'bad-request': kind(400, 'Bad Request', BAD_REQUEST, false, 'send a well-formed HTTP/1.1 request'),
  'bad-authority': kind(400, 'Bad Request', BAD_REQUEST, false, 'name the target as host:port'),
  'head-timeout': kind(408, 'Request Timeout', BAD_REQUEST, true, 'send the CONNECT head right after the upgrade'),
  'head-too-large': kind(431, 'Request Header Fields Too Large', BAD_REQUEST, false, 'send fewer or shorter fields'),
  'http-version-unsupported': kind(505, 'HTTP Version Not Supported', BAD_REQUEST, false, 'use HTTP/1.1'),
  'credential-mismatch': kind(407, 'Proxy Authentication Required', DENIED, false, 'use the same session twice'),
  // Policy.
  'policy-denied': kind(403, 'Forbidden', DENIED, false, 'ask the operator for a rule for this host'),
  'port-denied': kind(403, 'Forbidden', DENIED, false, 'ask the operator to list the port in upstream.allowPorts'),
  'address-denied': kind(
    403,
    'Forbidden',
    'destination_ip_prohibited',
    false,
    'ask the operator to list the address in upstream.allowAddresses',
  ),
  'session-concurrency-exceeded': kind(
    429,
    'Too Many Requests',
    DENIED,
    true,
    'wait for the answers to earlier requests',
  ),
  'session-requests-exceeded': kind(429, 'Too Many Requests', DENIED, true, 'try again later'),
  'session-names-exceeded': kind(429, 'Too Many Requests', DENIED, true, 'try again later'),
  // Inside the intercepted TLS.
  misdirected: kind(421, 'Misdirected Request', BAD_REQUEST, false, 'open a tunnel of its own for each host'),
  'method-not-allowed': kind(405, 'Method Not Allowed', BAD_REQUEST, false, 'use another method'),
  'ambiguous-path': kind(
    400,
    'Bad Request',
    BAD_REQUEST,
    false,
    'write the path plainly, or ask the operator for rules of this host that are not by path',
  ),
  'placeholder-unmatched': kind(403, 'Forbidden', DENIED, false, 'no rule for this request fills the placeholder in'),
  // The way to the origin.
  'dns-failed': kind(502, 'Bad Gateway', 'dns_error', true, 'check the host name'),
  'connection-refused': kind(502, 'Bad Gateway', 'connection_refused', true, 'check that the origin is up'),
  'connection-failed': kind(502, 'Bad Gateway', 'destination_unavailable', true, 'try again later'),
  'connection-timeout': kind(504, 'Gateway Timeout', 'connection_timeout', true, 'try again later'),
  'connection-closed': kind(502, 'Bad Gateway', 'connection_terminated', true, 'try again if that is safe'),
  'certificate-rejected': kind(
    502,
    'Bad Gateway',
    'tls_certificate_error',
    false,
    'the operator can trust a further root with upstream.caFiles',
  ),
  'tls-failed': kind(502, 'Bad Gateway', 'tls_protocol_error', false, 'check that the origin speaks TLS 1.2 or later'),
  'response-timeout': kind(504, 'Gateway Timeout', 'http_response_timeout', true, 'try again if that is safe'),
  'response-invalid': kind(502, 'Bad Gateway', 'http_protocol_error', false, 'the origin broke HTTP'),
  'response-head-too-large': kind(
    502,
    'Bad Gateway',
    'http_response_header_section_size',
    false,
    'the origin sends more header than the gateway takes',
  ),
  // The proxy that tunnels are handed to.
  'forward-denied': kind(403, 'Forbidden', DENIED, false, 'the proxy behind the gateway denies this host'),
  'forward-failed': kind(502, 'Bad Gateway', 'connection_refused', true, 'check the proxy behind the gateway'),
  internal: kind(500, 'Internal Server Error', 'proxy_internal_error', true, 'report this to the operator'),
} as const satisfies Record<string, RefusalKind>

export type RefusalCode = keyof typeof REFUSALS

export function isRefusalCode(code: string): code is RefusalCode {
  return Object.hasOwn(REFUSALS, code)
}

/** A refusal on its way to the client. `message` is our own text, in plain ASCII. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly code: RefusalCode
  /** When another try may help (RFC 9110, section 10.2.3). */
  readonly retryAfterSeconds: number | undefined

  /** @param cause what only the operator hears of: the place in the code of what should not have happened */
  constructor(code: RefusalCode, message: string, retryAfterSeconds?: number, cause?: unknown) {
    super(message, { cause })
    this.code = code
    this.retryAfterSeconds = retryAfterSeconds
  }

  get status(): number {
    return REFUSALS[this.code].status
  }

  get reason(): string {
    return REFUSALS[this.code].reason
  }
}

/** The JSON body, in the shape that the relay's own answers have too. */
export function refusalBody(refusal: Refusal): string {
  const { hint, retryable } = REFUSALS[refusal.code]
  return `${JSON.stringify({ hop: 'gateway', code: refusal.code, message: refusal.message, hint, retryable })}\n`
}

/** All header fields of the answer, as a flat list of names and values. */
export function refusalHeaders(refusal: Refusal): string[] {
  return [
    'Content-Type',
    'application/json',
    'Content-Length',
    String(Buffer.byteLength(refusalBody(refusal))),
    'Connection',
    'close',
    'Proxy-Status',
    proxyStatus(refusal),
    ...(refusal.retryAfterSeconds === undefined ? [] : ['Retry-After', String(refusal.retryAfterSeconds)]),
    ...challenge(refusal.code),
  ]
}

/** The whole answer, for a connection that has no HTTP machinery around it. */
export function encodeRefusal(refusal: Refusal): string {
  const fields = refusalHeaders(refusal)
  let head = `HTTP/1.1 ${refusal.status} ${refusal.reason}\r\n`
  for (let at = 0; at < fields.length; at += 2) head += `${fields[at]}: ${fields[at + 1]}\r\n`
  return `${head}\r\n${refusalBody(refusal)}`
}

/** RFC 9209, section 2; `details` is an sf-string (RFC 8941, section 3.3.3): printable ASCII, quotes escaped. */
function proxyStatus(refusal: Refusal): string {
  const details = refusal.message.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&')
  return `ccr-upstream-gateway; error=${REFUSALS[refusal.code].proxyError}; details="${details}"`
}

/** The field that RFC 9110 demands with some statuses. */
function challenge(code: RefusalCode): string[] {
  switch (code) {
    case 'unauthorized':
    case 'session-expired':
      return ['WWW-Authenticate', 'Bearer']
    case 'credential-mismatch':
      return ['Proxy-Authenticate', 'Basic realm="ccr-upstream-gateway"']
    case 'upgrade-required':
      return ['Upgrade', 'websocket']
    default:
      return []
  }
}
