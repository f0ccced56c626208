// Which hosts a NO_PROXY list names, in the reading that most tools share. No name is ever resolved.
//
// Rules:
// - Entries stand between commas or white space. `*` is every host.
// - A name matches itself and everything below it; a leading dot or `*.` changes nothing.
// - An address matches itself, with or without brackets; `network/bits` matches the addresses in it, IPv4 and IPv6.
// - `:port` behind a name, an IPv4 address or a bracket limits the entry to that port.

import { addressGroups, canonicalName } from './authority.js'

/** Whether `list` names `host` (a name, or an address without brackets) at `port`. */
export function isInNoProxy(list: string, host: string, port: number): boolean {
  return list.split(/[\s,]+/).some((entry) => entry !== '' && matchesEntry(entry, host, port))
}

/** As isInNoProxy(), and for this machine's loopback, which no proxy elsewhere can reach. */
export function isReachedDirectly(list: string, host: string, port: number): boolean {
  return isInNoProxy(`localhost,127.0.0.0/8,::1,${list}`, host, port)
}

function matchesEntry(entry: string, host: string, port: number): boolean {
  if (entry === '*') return true
  const parts = /^(\[[^\]]*\]|[^:]*)(?::([0-9]+))?$/.exec(entry)
  if (parts?.[2] !== undefined && Number(parts[2]) !== port) return false
  const pattern = (parts?.[1] ?? entry).replace(/^\[|\]$/g, '')
  const address = addressGroups(host)
  return address === undefined ? matchesName(pattern, host) : matchesNetwork(pattern, address)
}

function matchesName(pattern: string, host: string): boolean {
  const suffix = canonicalName(pattern.replace(/^\*?\./, ''))
  const name = canonicalName(host)
  if (suffix === undefined || name === undefined) return false
  return name === suffix || name.endsWith(`.${suffix}`)
}

function matchesNetwork(pattern: string, address: readonly number[]): boolean {
  const [text = '', length, ...rest] = pattern.split('/')
  const network = addressGroups(text)
  if (network === undefined || network.length !== address.length || rest.length > 0) return false
  const bits = length === undefined ? address.length * 16 : parsePrefixLength(length, address.length * 16)
  return (
    bits !== undefined && network.every((group, index) => sharesBits(group, address[index] ?? 0, bits - index * 16))
  )
}

function parsePrefixLength(text: string, most: number): number | undefined {
  return /^[0-9]{1,3}$/.test(text) && Number(text) <= most ? Number(text) : undefined
}

/** Whether the first `bits` of two 16-bit groups are the same. */
function sharesBits(left: number, right: number, bits: number): boolean {
  if (bits <= 0) return true
  const rest = Math.max(16 - bits, 0)
  return left >> rest === right >> rest
}
