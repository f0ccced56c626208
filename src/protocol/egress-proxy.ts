// An HTTP proxy between this machine and the gateway, as an address names it. No I/O.

/** A proxy that stands between this machine and the gateway. */
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

/** A relay that was started with its own exported environment must not dial itself. */
export function exceptOwnAddress(egress: EgressProxy | undefined, ownPort: number): EgressProxy | undefined {
  if (egress === undefined || !/^(?:localhost|127\.[0-9.]+|\[::1\])$/.test(egress.url.hostname)) return egress
  const port = egress.url.port || (egress.url.protocol === 'https:' ? '443' : '80')
  return Number(port) === ownPort ? undefined : egress
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
