// The container's own egress proxy: what HTTPS_PROXY and NO_PROXY said before this package changed the environment for
// its children. The WebSockets and the CA download go through it.

import { UpstreamProxyError } from '../errors.js'
import { type EgressProxy, parseEgressProxy } from '../protocol/egress-proxy.js'
import { isInNoProxy } from '../protocol/no-proxy.js'
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
  const egress = parseEgressProxy(given)
  if (egress !== undefined) return egress
  throw new UpstreamProxyError('config-invalid', 'HTTPS_PROXY is neither http://host:port nor https://host:port')
}
