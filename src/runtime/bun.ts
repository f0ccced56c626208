// The adapter for Bun; bun-connection.ts and bun-gateway.ts have its two sides.

import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { systemCode, UpstreamProxyError } from '../errors.js'
import type { EgressProxy } from '../protocol/egress-proxy.js'
import { connect } from './bun-connect.js'
import { listen } from './bun-connection.js'
import { BunGatewayDialer, type BunTlsOptions, BunTrust, explainDial, proxyOptions } from './bun-gateway.js'
import { download, downloadTimeout } from './download.js'
import type { DownloadedAnswer, DownloadLimits, Route, Runtime } from './runtime.js'

/** The runtime adapter for Bun. */
export const bunRuntime: Runtime = {
  listen,
  connect,
  createTrust: (certificates) => new BunTrust(certificates),
  createGatewayDialer: (endpoint) => new BunGatewayDialer(endpoint),
  download: downloadOnBun,
}

/** fetch() on Bun follows the environment's proxy variables, so it is only used where a proxy is wanted. */
function downloadOnBun(url: URL, route: Route, limits: DownloadLimits): Promise<DownloadedAnswer> {
  const { egress } = route
  const tls = (route.trust as BunTrust).trust
  if (egress !== undefined) return downloadThroughProxy(url, egress, tls, limits)
  // An agent of our own: the global one follows NODE_USE_ENV_PROXY.
  const agent = url.protocol === 'https:' ? new HttpsAgent() : new HttpAgent()
  return download(url, { agent, ...tls }, limits)
}

async function downloadThroughProxy(
  url: URL,
  egress: EgressProxy,
  tls: BunTlsOptions,
  limits: DownloadLimits,
): Promise<DownloadedAnswer> {
  const options = {
    redirect: 'manual',
    tls,
    proxy: proxyOptions(egress),
    signal: AbortSignal.timeout(limits.timeoutMs),
  }
  try {
    const response = await fetch(url, options as RequestInit)
    const body = new Uint8Array(await response.arrayBuffer())
    if (body.length > limits.maxBytes) throw new UpstreamProxyError('ca-invalid', 'the answer is too long')
    return { status: response.status, location: response.headers.get('location') ?? undefined, body }
  } catch (error) {
    if (error instanceof UpstreamProxyError) throw error
    if (error instanceof Error && error.name === 'TimeoutError') throw downloadTimeout(url, limits)
    throw explainDial(error instanceof Error ? error.message : '', systemCode(error), egress)
  }
}
