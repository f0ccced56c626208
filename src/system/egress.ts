// The container's own egress proxy: what HTTPS_PROXY and NO_PROXY said before this package changed the environment for
// its children. The WebSockets and the CA download go through it.

import { UpstreamProxyError } from '../errors.js'
import type { EgressProxy } from '../runtime/runtime.js'
import { isInNoProxy } from './no-proxy.js'
import type { Environment } from './settings.js'

/**
 * The proxy on the way to `gateway`; undefined when it is reached directly.
 * @throws {UpstreamProxyError} `config-invalid` when HTTPS_PROXY is neither http:// nor https://
 */
export function resolveEgress(environment: Environment, gateway: URL): EgressProxy | undefined {
  // Lower case first, as curl, git, wget and Python have it.
  const given = (environment.https_proxy || environment.HTTPS_PROXY)?.trim()
  if (!given) return undefined
  const host = gateway.hostname.replace(/^\[|\]$/g, '')
  const port = Number(gateway.port || (/^(?:https|wss):$/.test(gateway.protocol) ? 443 : 80))
  const bypass = environment.no_proxy || environment.NO_PROXY || ''
  // No proxy elsewhere can reach this machine's loopback.
  if (isInNoProxy(`localhost,127.0.0.0/8,::1,${bypass}`, host, port)) return undefined
  return parseProxy(given)
}

/** `host:port` without a scheme is taken for http://, as curl does. */
function parseProxy(given: string): EgressProxy {
  const text = given.includes('://') ? given : `http://${given}`
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.hostname === '') {
    throw new UpstreamProxyError('config-invalid', 'HTTPS_PROXY is neither http://host:port nor https://host:port')
  }
  const authorization = basicCredential(url)
  url.username = ''
  url.password = ''
  return { url, authorization }
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
