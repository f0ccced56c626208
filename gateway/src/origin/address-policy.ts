// Which addresses and ports an origin may have. Pure: addresses in, verdict out; nothing is resolved here.
// The list is of what is not the public internet (IANA's special-purpose registries, RFC 6890) and of what leads to the
// machine, its network or its cloud's metadata. It is a list of refusals for IPv4, and for IPv6 the reverse: only
// 2000::/3 is public unicast (RFC 4291, section 2.4), so that every form that carries an IPv4 address falls outside.

import { BlockList, isIP } from 'node:net'

const REFUSED_IPV4 = [
  '0.0.0.0/8', // this network
  '10.0.0.0/8', // private
  '100.64.0.0/10', // carrier-grade NAT; also Alibaba's metadata, 100.100.100.200
  '127.0.0.0/8', // loopback
  '168.63.129.16/32', // Azure's platform address
  '169.254.0.0/16', // link-local; also the metadata of most clouds, 169.254.169.254
  '172.16.0.0/12', // private
  '192.0.0.0/24', // protocol assignments; also Oracle's metadata, 192.0.0.192
  '192.0.2.0/24', // documentation
  '192.88.99.0/24', // 6to4 relays
  '192.168.0.0/16', // private
  '198.18.0.0/15', // benchmarking
  '198.51.100.0/24', // documentation
  '203.0.113.0/24', // documentation
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved, and broadcast
]

const REFUSED_IPV6 = [
  '::/3', // loopback, unspecified, IPv4-mapped (::ffff:0:0/96), IPv4/IPv6 translation (64:ff9b::/96), …
  '4000::/2', // unassigned
  '8000::/1', // unassigned, unique local (fc00::/7), link-local (fe80::/10), multicast (ff00::/8)
  '2001::/23', // protocol assignments: Teredo (2001::/32), benchmarking, ORCHID
  '2001:db8::/32', // documentation
  '2002::/16', // 6to4: carries an IPv4 address
  '3fff::/20', // documentation
]

/** Says which addresses may be dialled. */
export class AddressPolicy {
  readonly #refused = { ipv4: blockList(REFUSED_IPV4, 'ipv4'), ipv6: blockList(REFUSED_IPV6, 'ipv6') }
  readonly #allowed: { readonly ipv4: BlockList; readonly ipv6: BlockList }

  /** @param allowAddresses exceptions: addresses or prefixes in CIDR form */
  constructor(allowAddresses: readonly string[]) {
    const parsed = allowAddresses.map((text) => parsePrefix(text) as AddressPrefix)
    const of = (family: AddressPrefix['family']) => parsed.filter((prefix) => prefix.family === family)
    this.#allowed = { ipv4: listOf(of('ipv4')), ipv6: listOf(of('ipv6')) }
  }

  /** Whether `address` may be dialled. What is no address, or has a zone, may not. */
  allows(address: string): boolean {
    // One list per family: node's BlockList would match an IPv4 address against ::ffff:0:0/96 too.
    const family = familyOf(address)
    if (family === undefined || address.includes('%')) return false
    return this.#allowed[family].check(address, family) || !this.#refused[family].check(address, family)
  }
}

/** A parsed `address/length`. */
export interface AddressPrefix {
  readonly family: 'ipv4' | 'ipv6'
  readonly address: string
  readonly length: number
}

/** Parses an address or a prefix in CIDR form; undefined when it is neither. */
export function parsePrefix(text: string): AddressPrefix | undefined {
  const match = /^([0-9A-Fa-f:.]+)(?:\/([0-9]{1,3}))?$/.exec(text)
  const address = match?.[1] ?? ''
  const family = familyOf(address)
  if (family === undefined) return undefined
  const maxLength = family === 'ipv4' ? 32 : 128
  const length = match?.[2] === undefined ? maxLength : Number(match[2])
  return length > maxLength ? undefined : { family, address, length }
}

function familyOf(address: string): 'ipv4' | 'ipv6' | undefined {
  const version = isIP(address)
  if (version === 0) return undefined
  return version === 4 ? 'ipv4' : 'ipv6'
}

function blockList(prefixes: readonly string[], family: 'ipv4' | 'ipv6'): BlockList {
  return listOf(prefixes.map((text) => ({ ...(parsePrefix(text) as AddressPrefix), family })))
}

function listOf(prefixes: readonly AddressPrefix[]): BlockList {
  const list = new BlockList()
  for (const { address, length, family } of prefixes) list.addSubnet(address, length, family)
  return list
}
