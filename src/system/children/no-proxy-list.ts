// The NO_PROXY list that children get: this machine, which goes past the relay whatever anybody says, what the configuration names,
// and what the container had. Each entry must do no harm in any client.

import { addressGroups, canonicalName } from '../../protocol/authority.js'
import type { Environment } from '../environment.js'

const LOOPBACK = ['localhost', '127.0.0.1', '::1'] as const

/** What the configuration names by default: private and link-local networks, the Anthropic API. */
export const DEFAULT_NO_PROXY = [
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '169.254.0.0/16',
  'anthropic.com',
  '.anthropic.com',
  '*.anthropic.com',
] as const

/** A list, and what could not be taken into it. */
export interface NoProxyList {
  /** Entries between commas, without spaces. */
  readonly list: string
  readonly refused: readonly { readonly entry: string; readonly reason: string }[]
}

/**
 * Joins this machine, `configured`, and what `environment` has.
 * @param configured one entry each
 */
export function createNoProxyList(configured: readonly string[], environment: Environment): NoProxyList {
  const inherited = [environment.NO_PROXY, environment.no_proxy].flatMap((list) => list?.split(/[\s,]+/) ?? [])
  const refused: { entry: string; reason: string }[] = []
  // A container may write an address in brackets; without them it means the same and breaks nobody.
  const wanted = [...configured, ...inherited.map((entry) => entry.replace(/^\[([^\]]*)\]$/, '$1'))]
  const accepted = wanted.filter((entry) => {
    const reason = entry === '' ? undefined : whyRefused(entry)
    if (reason !== undefined) refused.push({ entry, reason })
    return entry !== '' && reason === undefined
  })
  return { list: [...new Set([...LOOPBACK, ...accepted])].join(','), refused }
}

/** Why an entry cannot be in the list; undefined when it can. */
function whyRefused(entry: string): string | undefined {
  if (entry === '*') return 'it would turn the proxy off for every host'
  if (/[\s,]/.test(entry)) return 'an entry has no space and no comma'
  if (/[[\]]/.test(entry)) return 'brackets crash httpx: write the address without them'
  if (entry.includes('/')) return whyNoNetwork(entry)
  if (addressGroups(entry) !== undefined) return undefined
  const [, host = '', port] = /^(.*?)(?::([0-9]+))?$/.exec(entry) ?? []
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) return 'the port is not 1 to 65535'
  if (addressGroups(host) !== undefined || canonicalName(host.replace(/^\*?\./, '')) !== undefined) return undefined
  return 'it is neither a host name, .name, *.name, an address nor a network such as 10.0.0.0/8'
}

function whyNoNetwork(entry: string): string | undefined {
  const [address = '', length = '', ...rest] = entry.split('/')
  const groups = addressGroups(address)
  if (groups === undefined || rest.length > 0) return 'it is no network such as 10.0.0.0/8'
  if (groups.length > 2) return 'IPv6 networks crash httpx: name the addresses'
  if (!/^[0-9]{1,2}$/.test(length) || Number(length) > 32) return 'the length of the prefix is not 0 to 32'
  // As `*` does.
  return Number(length) === 0 ? 'it would turn the proxy off for every address' : undefined
}
