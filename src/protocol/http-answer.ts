// A whole HTTP/1.1 answer out of the bytes that have come, for those who read one answer and then no more (RFC 9112). Bytes
// in, a verdict out; no I/O. Tunnels do not come here: of their answers only the status line is looked at.
//
// Rules: a head has at most 16 KiB. A body ends with its Content-Length or with the connection; a chunked one is taken as
// it stands. One above 64 KiB is left out whole: a part of it could be the part of a secret that nobody recognises any more.

/** What came. */
export interface HttpAnswer {
  readonly status: number
  readonly reason: string
  /** By lower-case name; of a field that stands twice the last. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

export type HttpAnswerVerdict =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'complete'; readonly answer: HttpAnswer }
  | { readonly kind: 'not-http' }

const MAX_HEAD_BYTES = 16_384
/** A refusal in words is shorter; what is longer is a web page. */
const MAX_BODY_BYTES = 65_536

/**
 * Reads the answer to a request.
 * @param isOver nothing more will come
 */
export function readHttpAnswer(bytes: Buffer, method: string, isOver: boolean): HttpAnswerVerdict {
  const end = bytes.indexOf('\r\n\r\n')
  if (end === -1) return isOver || bytes.length > MAX_HEAD_BYTES ? { kind: 'not-http' } : { kind: 'incomplete' }
  const head = parseHead(bytes.toString('latin1', 0, end))
  if (head === undefined) return { kind: 'not-http' }
  const body = bytes.subarray(end + 4)
  const length = bodyLength(method, head)
  if (body.length > MAX_BODY_BYTES) return { kind: 'complete', answer: { ...head, body: '' } }
  if (body.length < length && !isOver) return { kind: 'incomplete' }
  return { kind: 'complete', answer: { ...head, body: body.toString('utf8', 0, Math.min(length, body.length)) } }
}

function parseHead(head: string): Omit<HttpAnswer, 'body'> | undefined {
  const [statusLine = '', ...fields] = head.split('\r\n')
  const [, status, reason = ''] = /^HTTP\/1\.[01] ([1-9][0-9]{2})(?: (.*))?$/.exec(statusLine) ?? []
  if (status === undefined) return undefined
  const headers = fields.map((field): [string, string] => {
    const colon = field.indexOf(':')
    return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()]
  })
  return { status: Number(status), reason, headers: new Map(headers) }
}

/** RFC 9112, section 6.3; infinite where the end of the connection is the end of the body. */
function bodyLength(method: string, { status, headers }: Omit<HttpAnswer, 'body'>): number {
  if (method === 'CONNECT' && status >= 200 && status <= 299) return 0
  if (status < 200 || status === 204 || status === 304) return 0
  const length = headers.get('content-length')
  return length !== undefined && /^[0-9]{1,15}$/.test(length) ? Number(length) : Number.POSITIVE_INFINITY
}
