// The container's own egress proxy: what HTTPS_PROXY and NO_PROXY said before this package changed the environment for
// its children. The WebSockets and the CA download go through it.

import { UpstreamProxyError } from '../errors.js'
import { type EgressProxy, parseEgressProxy } from '../protocol/egress-proxy.js'
import { isReachedDirectly } from '../protocol/no-proxy.js'
import type { Environment } from './environment.js'

/** The proxy, and what the container reaches without it. */
export interface ContainerProxy {
  readonly egress: EgressProxy | undefined
  /** NO_PROXY list. */
  readonly noProxy: string
}

/**
 * Reads HTTPS_PROXY and NO_PROXY.
 * @throws {UpstreamProxyError} `config-invalid` when HTTPS_PROXY is neither http:// nor https://
 */
export function readContainerProxy(environment: Environment): ContainerProxy {
  // Lower case first, as curl, git, wget and Python have it.
  const given = (environment.https_proxy || environment.HTTPS_PROXY)?.trim()
  const noProxy = environment.no_proxy || environment.NO_PROXY || ''
  const egress = given ? parseEgressProxy(given) : undefined
  if (!given || egress !== undefined) return { egress, noProxy }
  throw new UpstreamProxyError('config-invalid', 'HTTPS_PROXY is neither http://host:port nor https://host:port')
}

/** The proxy on the way to `gateway`; undefined when it is reached directly. */
export function egressTo(gateway: URL, { egress, noProxy }: ContainerProxy): EgressProxy | undefined {
  const host = gateway.hostname.replace(/^\[|\]$/g, '')
  const port = Number(gateway.port || (/^(?:https|wss):$/.test(gateway.protocol) ? 443 : 80))
  return isReachedDirectly(noProxy, host, port) ? undefined : egress
}
