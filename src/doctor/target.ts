// What is asked for through the tunnel.

import { UpstreamProxyError } from '../errors.js'
import { type Authority, parseAuthority } from '../protocol/authority.js'
import { hostAndPort } from '../runtime/probe.js'
import type { Settings } from '../system/settings.js'

export interface Target {
  readonly url: URL
  readonly authority: Authority
  /** Somebody has named it: then a refusal is a failure, and not only what the gateway thinks of its own address. */
  readonly isChosen: boolean
}

/** The address that was given, or the gateway's own. */
export function chooseTarget(given: URL | undefined, { caUrl }: Settings): Target {
  const url = given ?? new URL(`https://${caUrl.host}/`)
  const [host, port] = hostAndPort(url)
  const authority = parseAuthority(`${host.includes(':') ? `[${host}]` : host}:${port}`)
  if (authority === undefined) throw new UpstreamProxyError('config-invalid', `${url.host} cannot stand in a CONNECT`)
  return { url, authority, isChosen: given !== undefined }
}
