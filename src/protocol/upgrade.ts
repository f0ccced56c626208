// The opening handshake of a WebSocket client (RFC 6455, section 4.1): the request, and what the answer to it comes to. No I/O.
//
// Rules:
// - Nothing is asked for besides the WebSocket, so an answer that names an extension or a subprotocol breaks the rules.
// - A refusal is known by its status line; of what else stands in it only the Retry-After of a 503 or 429 is looked at.
// - Interim answers before it are skipped (RFC 9110, section 15.2).
// - The heads of all answers together have a limit, however they come; what stands after them are frames.

import { createHash, randomBytes } from 'node:crypto'

/** As much as Node's own HTTP parser would take. */
const MAX_HEAD_BYTES = 16_384

/** Of RFC 6455, section 1.3. */
const ACCEPT_SUFFIX = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** A new value of Sec-WebSocket-Key. */
export function createUpgradeKey(): string {
  return randomBytes(16).toString('base64')
}

/**
 * The request for `url` with `headers` besides its own, in memory that may be wiped.
 * @throws {RangeError} when a header has a character that would end its line
 */
export function encodeUpgradeRequest(url: URL, headers: Readonly<Record<string, string>>, key: string): Buffer {
  const lines = Object.entries(headers).map(([name, value]) => {
    if (/[^\x20-\x7e]/.test(name + value)) throw new RangeError('a header is not visible ASCII')
    return `${name}: ${value}\r\n`
  })
  const request =
    `GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n${lines.join('')}\r\n`
  return Buffer.from(request, 'latin1')
}

/** What the gateway said: with `open`, `rest` is what stands behind its head. */
export type UpgradeVerdict =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'open'; readonly rest: Uint8Array }
  | { readonly kind: 'refused'; readonly status: number; readonly retryAfter?: string }
  | { readonly kind: 'not-http' }
  /** A 101 that does not open a WebSocket; `detail` says what is wrong with it. */
  | { readonly kind: 'not-websocket'; readonly detail: string }

/** Collects the head of the answer to the request with `key`. */
export class UpgradeAnswerParser {
  readonly #key: string
  #bytes = Buffer.alloc(0)
  /** What the heads may still have. */
  #headBytesLeft = MAX_HEAD_BYTES

  constructor(key: string) {
    this.#key = key
  }

  push(bytes: Uint8Array): UpgradeVerdict {
    this.#bytes = Buffer.concat([this.#bytes, bytes])
    for (;;) {
      const verdict = this.#readHead()
      if (verdict !== undefined) return verdict
    }
  }

  /** undefined: it was an interim answer. */
  #readHead(): UpgradeVerdict | undefined {
    const statusEnd = this.#bytes.indexOf('\r\n')
    if (statusEnd === -1) return couldBeHttp(this.#bytes) ? { kind: 'incomplete' } : { kind: 'not-http' }
    const status = readStatus(this.#bytes.toString('latin1', 0, statusEnd))
    if (status === undefined) return { kind: 'not-http' }
    if (status >= 200 && !SAYS_WHEN.has(status)) return { kind: 'refused', status }
    const end = this.#bytes.indexOf('\r\n\r\n')
    if ((end === -1 ? this.#bytes.length : end + 4) > this.#headBytesLeft) return { kind: 'not-http' }
    if (end === -1) return { kind: 'incomplete' }
    if (status < 200 && status !== 101) {
      this.#headBytesLeft -= end + 4
      this.#bytes = this.#bytes.subarray(end + 4)
      return undefined
    }
    const fieldLines = this.#bytes.toString('latin1', statusEnd + 2, end)
    if (status !== 101) return { kind: 'refused', status, ...retryAfterOf(fieldLines) }
    const detail = findFault(fieldLines, this.#key)
    if (detail !== undefined) return { kind: 'not-websocket', detail }
    return { kind: 'open', rest: this.#bytes.subarray(end + 4) }
  }

  /** What the answer comes to when nothing more follows. */
  end(): UpgradeVerdict {
    const status = readStatus(this.#bytes.toString('latin1').split('\r\n')[0] ?? '')
    return status === undefined || status < 200 ? { kind: 'not-http' } : { kind: 'refused', status }
  }
}

function retryAfterOf(fieldLines: string): { retryAfter?: string } {
  const retryAfter = parseFields(fieldLines)?.get('retry-after')
  return retryAfter === undefined ? {} : { retryAfter }
}

/** Refusals that may say for how long (RFC 9110, section 15.6.4; RFC 6585, section 4). */
const SAYS_WHEN: ReadonlySet<number> = new Set([429, 503])

const STATUS_LINE = /^HTTP\/1\.[01] ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?$/
const EXAMPLE = 'HTTP/1.1 101 '

/** Whether a status line may still come of `bytes`. */
function couldBeHttp(bytes: Buffer): boolean {
  const begun = bytes.toString('latin1', 0, EXAMPLE.length).replace(/\r$/, ' ')
  return bytes.length <= MAX_HEAD_BYTES && STATUS_LINE.test(begun + EXAMPLE.slice(begun.length))
}

function readStatus(line: string): number | undefined {
  const status = STATUS_LINE.exec(line)?.[1]
  return status === undefined ? undefined : Number(status)
}

/** What is wrong with the fields of a 101; undefined when they open a WebSocket. */
function findFault(fieldLines: string, key: string): string | undefined {
  const fields = parseFields(fieldLines)
  if (fields === undefined) return 'a line that is no field'
  if (fields.get('upgrade')?.toLowerCase() !== 'websocket') return 'an Upgrade other than websocket'
  if (!hasToken(fields.get('connection') ?? '', 'upgrade')) return 'a Connection without Upgrade'
  if (fields.get('sec-websocket-accept') !== acceptOf(key)) return 'a wrong Sec-WebSocket-Accept'
  if (fields.has('sec-websocket-extensions')) return 'an extension that was not asked for'
  if (fields.has('sec-websocket-protocol')) return 'a subprotocol that was not asked for'
  return undefined
}

/** Values by names in lower case, of a name that stands twice joined by a comma (RFC 9110, section 5.3). */
function parseFields(lines: string): Map<string, string> | undefined {
  const fields = new Map<string, string>()
  for (const line of lines.split('\r\n')) {
    const nameEnd = line.indexOf(':')
    const name = line.slice(0, Math.max(nameEnd, 0)).toLowerCase()
    if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name)) return undefined
    const value = line.slice(nameEnd + 1).trim()
    if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) return undefined
    const before = fields.get(name)
    fields.set(name, before === undefined ? value : `${before}, ${value}`)
  }
  return fields
}

function hasToken(list: string, token: string): boolean {
  return list.split(',').some((member) => member.trim().toLowerCase() === token)
}

function acceptOf(key: string): string {
  return createHash('sha1').update(`${key}${ACCEPT_SUFFIX}`).digest('base64')
}
