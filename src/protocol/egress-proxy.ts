// The container's own HTTP proxy: how an address names it, and what is said to it to get through (RFC 9110, section
// 9.3.6). No I/O.

/** A proxy that stands between this machine and the rest. */
export interface EgressProxy {
  /** `http:` or `https:`, without user name and password. */
  readonly url: URL
  /** Value of Proxy-Authorization (RFC 7617). */
  readonly authorization: string | undefined
}

/**
 * Parses `[http[s]://][user:password@]host[:port]`; undefined when it is anything else. Without a scheme it is http://,
 * as curl has it; user name and password are percent-decoded.
 */
export function parseEgressProxy(text: string): EgressProxy | undefined {
  const whole = text.includes('://') ? text : `http://${text}`
  const url = URL.canParse(whole) ? new URL(whole) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.hostname === '') return undefined
  const authorization = basicCredential(url)
  url.username = ''
  url.password = ''
  return { url, authorization }
}

/** Whether a proxy is on this machine. */
export function isOnLoopback({ url }: EgressProxy): boolean {
  return /^(?:localhost|127\.[0-9.]+|\[::1\])$/.test(url.hostname)
}

/** A relay that was started with its own exported environment must not dial itself. */
export function exceptOwnAddress(egress: EgressProxy | undefined, ownPort: number): EgressProxy | undefined {
  if (egress === undefined || !isOnLoopback(egress)) return egress
  const port = egress.url.port || (egress.url.protocol === 'https:' ? '443' : '80')
  return Number(port) === ownPort ? undefined : egress
}

/** The CONNECT that asks the proxy for `authority`, which is `host:port`. */
export function encodeEgressConnect(authority: string, { authorization }: EgressProxy): string {
  const credential = authorization === undefined ? '' : `Proxy-Authorization: ${authorization}\r\n`
  return `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${credential}\r\n`
}

/** As much as Node's own HTTP parser would take. */
const MAX_EGRESS_HEAD_BYTES = 16_384

/** What the proxy said: with `open`, `rest` is what stands behind its head and belongs to the connection. */
export type EgressVerdict =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'open'; readonly rest: Uint8Array }
  | { readonly kind: 'refused'; readonly status: number }
  | { readonly kind: 'not-http' }

/** Collects the head of the proxy's answer. */
export class EgressAnswerParser {
  #bytes = Buffer.alloc(0)

  push(bytes: Uint8Array): EgressVerdict {
    this.#bytes = Buffer.concat([this.#bytes, bytes])
    const end = this.#bytes.indexOf('\r\n\r\n')
    if (end === -1 && this.#bytes.length <= MAX_EGRESS_HEAD_BYTES) return { kind: 'incomplete' }
    const status = /^HTTP\/1\.[01] ([0-9]{3})/.exec(this.#bytes.toString('latin1', 0, 16))?.[1]
    if (end === -1 || status === undefined) return { kind: 'not-http' }
    if (!status.startsWith('2')) return { kind: 'refused', status: Number(status) }
    return { kind: 'open', rest: this.#bytes.subarray(end + 4) }
  }
}

function basicCredential({ username, password }: URL): string | undefined {
  if (username === '' && password === '') return undefined
  return `Basic ${Buffer.from(`${decodeText(username)}:${decodeText(password)}`).toString('base64')}`
}

/** A `%` that begins no escape stands for itself. */
function decodeText(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
