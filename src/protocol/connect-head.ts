// The head of a CONNECT request: parsed strictly from whatever pieces a client sends, and written anew for the gateway
// from the parsed host and port alone. Bytes in, one verdict out; no I/O, no timer.
//
// Rules (RFC 9112 for the syntax, RFC 9110 section 9.3.6 for CONNECT):
// - One empty line may come first. Lines end with CRLF; a bare CR or LF, a control byte or a byte above 0x7e is refused
//   as soon as it is seen, so that a TLS hello or SOCKS greeting on this port is answered at once.
// - The head is at most `maxHeadBytes` long, final empty line included, and has at most `maxHeaders` fields.
// - HTTP/1.1 needs exactly one Host; HTTP/1.0 may come without. Its value is ignored: the authority decides.
// - A CONNECT has no content: Transfer-Encoding is refused, and any Content-Length but 0.
// - Everything after the empty line belongs to the tunnel and is handed back untouched.

import { type Authority, formatAuthority, parseAuthority } from './authority.js'

/** What a refused head is refused for; each is an error code with an HTTP status. */
export type HeadRefusal =
  | 'bad-request'
  | 'bad-authority'
  | 'method-not-allowed'
  | 'http-version-unsupported'
  | 'head-too-large'

/** What a good head says. */
export interface ConnectHead {
  readonly authority: Authority
  /** The value of Proxy-Authorization: the gateway's to check; the relay ignores what its clients send. */
  readonly proxyAuthorization: string | undefined
  /** The value of X-Request-Id, which joins the logs of the hops; the gateway's to check. */
  readonly requestId: string | undefined
}

/** What the bytes so far amount to. `rest` is what stood behind the head. */
export type HeadVerdict =
  | { readonly kind: 'incomplete' }
  | ({ readonly kind: 'complete'; readonly rest: Uint8Array } & ConnectHead)
  | { readonly kind: 'refused'; readonly refusal: HeadRefusal; readonly detail: string }

/** Limits of a head. */
export interface HeadLimits {
  /** Bytes of the whole head. Node's own HTTP parser stops at the same 16 KiB. */
  readonly maxHeadBytes: number
  /** Header fields. Real clients send fewer than ten. */
  readonly maxHeaders: number
}

export const DEFAULT_HEAD_LIMITS: HeadLimits = { maxHeadBytes: 16_384, maxHeaders: 100 }

const CR = 0x0d
const LF = 0x0a
const TAB = 0x09

const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~]+) HTTP\/([0-9])\.([0-9])$/
const FIELD_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*)$/

/** Collects a CONNECT head that may come in any number of pieces. After a verdict it is spent. */
export class ConnectHeadParser {
  readonly #limits: HeadLimits
  #buffer = new Uint8Array(512)
  #length = 0
  #lineStart = 0
  readonly #lines: string[] = []
  #skippedEmptyLine = false

  constructor(limits: HeadLimits = DEFAULT_HEAD_LIMITS) {
    this.#limits = limits
  }

  /** Takes the next bytes; they are copied as far as they belong to the head. */
  push(bytes: Uint8Array): HeadVerdict {
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at] as number
      if (this.#length === this.#limits.maxHeadBytes) return tooLarge(`more than ${this.#limits.maxHeadBytes} bytes`)
      const refusal = this.#checkByte(byte)
      if (refusal !== undefined) return refusal
      this.#append(byte)
      if (byte !== LF) continue
      const verdict = this.#endLine()
      if (verdict === 'more') continue
      return verdict === 'end' ? parseHead(this.#lines, bytes.subarray(at + 1)) : verdict
    }
    return { kind: 'incomplete' }
  }

  #checkByte(byte: number): HeadVerdict | undefined {
    const afterCr = this.#length > 0 && this.#buffer[this.#length - 1] === CR
    if (afterCr !== (byte === LF)) return badRequest('a line does not end with CRLF')
    const isText = byte >= 0x20 && byte <= 0x7e
    if (isText || byte === CR || byte === LF || (byte === TAB && this.#lines.length > 0)) return undefined
    return badRequest('a byte is not allowed in a request head')
  }

  #append(byte: number): void {
    if (this.#length === this.#buffer.length) {
      const grown = new Uint8Array(Math.min(this.#buffer.length * 2, this.#limits.maxHeadBytes))
      grown.set(this.#buffer)
      this.#buffer = grown
    }
    this.#buffer[this.#length++] = byte
  }

  #endLine(): 'more' | 'end' | HeadVerdict {
    const line = latin1(this.#buffer.subarray(this.#lineStart, this.#length - 2))
    this.#lineStart = this.#length
    if (line === '' && this.#lines.length > 0) return 'end'
    if (line === '') {
      if (this.#skippedEmptyLine) return badRequest('more than one empty line stands before the request')
      this.#skippedEmptyLine = true
      return 'more'
    }
    this.#lines.push(line)
    if (this.#lines.length - 1 > this.#limits.maxHeaders) return tooLarge(`more than ${this.#limits.maxHeaders} fields`)
    return 'more'
  }
}

function parseHead(lines: readonly string[], rest: Uint8Array): HeadVerdict {
  const [requestLine, ...fieldLines] = lines as [string, ...string[]]
  const request = parseRequestLine(requestLine)
  if ('kind' in request) return request
  const fields = parseFields(fieldLines, request.minorVersion)
  if ('kind' in fields) return fields
  return { kind: 'complete', authority: request.authority, ...fields, rest }
}

function parseRequestLine(line: string): { authority: Authority; minorVersion: number } | HeadVerdict {
  const match = REQUEST_LINE.exec(line)
  if (match === null) return badRequest('the request line is malformed')
  const [, method, target, major, minor] = match as unknown as [string, string, string, string, string]
  // The HTTP/2 preface (RFC 9113, section 3.4) and a method in the wrong case are no requests to this proxy.
  if (method === 'PRI' || method.toUpperCase() !== method) return badRequest('the method is not known here')
  if (major !== '1' || minor > '1')
    return refuse('http-version-unsupported', `HTTP/${major}.${minor} is not spoken here`)
  if (method !== 'CONNECT') return refuse('method-not-allowed', `${method.slice(0, 20)} is not CONNECT`)
  const authority = parseAuthority(target)
  if (authority === undefined) return refuse('bad-authority', 'the target is not host:port')
  return { authority, minorVersion: Number(minor) }
}

function parseFields(lines: readonly string[], minorVersion: number): FieldsOfInterest | HeadVerdict {
  let hosts = 0
  let proxyAuthorization: string | undefined
  let requestId: string | undefined
  for (const line of lines) {
    const match = FIELD_LINE.exec(line)
    if (match === null) return badRequest('a header field is malformed')
    const [, name, value] = match as unknown as [string, string, string]
    switch (name.toLowerCase()) {
      case 'host':
        hosts++
        break
      case 'proxy-authorization':
        if (proxyAuthorization !== undefined) return badRequest('more than one Proxy-Authorization field')
        proxyAuthorization = value.trim()
        break
      case 'x-request-id':
        requestId ??= value.trim()
        break
      case 'transfer-encoding':
        return badRequest('a CONNECT has no Transfer-Encoding')
      case 'content-length':
        // WinHTTP sends `Content-Length: 0` with every CONNECT.
        if (value.trim() !== '0') return badRequest('a CONNECT has no content')
        break
    }
  }
  if (hosts > 1) return badRequest('more than one Host field')
  if (hosts === 0 && minorVersion >= 1) return badRequest('the Host field is missing')
  return { proxyAuthorization, requestId }
}

type FieldsOfInterest = Pick<ConnectHead, 'proxyAuthorization' | 'requestId'>

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes)
}

function refuse(refusal: HeadRefusal, detail: string): HeadVerdict {
  return { kind: 'refused', refusal, detail }
}

function badRequest(detail: string): HeadVerdict {
  return refuse('bad-request', detail)
}

function tooLarge(detail: string): HeadVerdict {
  return refuse('head-too-large', `the request head has ${detail}`)
}

/**
 * The CONNECT head for the gateway, as ASCII bytes. `credential` is the value of Proxy-Authorization, or undefined
 * for none; `requestId`, of X-Request-Id, likewise. Nothing of the client's own head is carried over.
 */
export function encodeConnectHead(
  authority: Authority,
  credential: Uint8Array | undefined,
  requestId?: string,
): Uint8Array {
  const target = formatAuthority(authority)
  const id = requestId === undefined ? '' : `X-Request-Id: ${requestId}\r\n`
  const start = ascii(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${id}`)
  if (credential === undefined) return concat([start, ascii('\r\n')])
  return concat([start, ascii('Proxy-Authorization: '), credential, ascii('\r\n\r\n')])
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
