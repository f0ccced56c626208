// The authority of a CONNECT: `host:port`, parsed by one strict grammar and written back in one canonical form.
// RFC 9110, section 9.3.6: the target is host and port only, and there is no default port.
//
// Rules:
// - Never `split(':')` (breaks IPv6), never `new URL()` (turns 2130706433 into 127.0.0.1).
// - A name is [A-Za-z0-9._-], at most 253 characters in labels of at most 63; it is lower-cased and one trailing dot
//   goes. Its last label is not a number, decimal or 0x…, for such a name is an IPv4 address to some parsers.
// - An IPv4 address is four decimal numbers without leading zeros; an IPv6 address stands in brackets, has no zone,
//   and is written back as RFC 5952 has it.
// - A port is 1 to 65535 in digits without leading zeros.

/** Where a tunnel leads. `host` is canonical and without brackets. */
export interface Authority {
  readonly kind: 'name' | 'ipv4' | 'ipv6'
  readonly host: string
  readonly port: number
}

const AUTHORITY = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,254})):([1-9][0-9]{0,4})$/
const IPV4 = /^(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}$/
const NUMERIC_LABEL = /^(?:[0-9]+|0[xX][0-9A-Fa-f]*)$/

/** Parses `host:port` as a CONNECT has it; undefined when it is anything else. */
export function parseAuthority(text: string): Authority | undefined {
  const match = AUTHORITY.exec(text)
  if (match === null) return undefined
  const [, bracketed, plain, digits] = match
  const port = Number(digits)
  if (port > 65_535) return undefined
  if (bracketed !== undefined) {
    const host = canonicalIpv6(bracketed)
    return host === undefined ? undefined : { kind: 'ipv6', host, port }
  }
  const host = plain as string
  if (isIpv4(host)) return { kind: 'ipv4', host, port }
  const name = canonicalName(host)
  return name === undefined ? undefined : { kind: 'name', host: name, port }
}

/** `host:port`, an IPv6 address in brackets. */
export function formatAuthority(authority: Authority): string {
  const { kind, host, port } = authority
  return kind === 'ipv6' ? `[${host}]:${port}` : `${host}:${port}`
}

/** Whether `text` is four decimal numbers of 0 to 255 without leading zeros. */
export function isIpv4(text: string): boolean {
  return IPV4.test(text) && text.split('.').every((part) => Number(part) <= 255)
}

/** A host name in lower case without its trailing dot; undefined when it is none. */
export function canonicalName(text: string): string | undefined {
  const name = (text.endsWith('.') ? text.slice(0, -1) : text).toLowerCase()
  if (name.length === 0 || name.length > 253) return undefined
  const labels = name.split('.')
  if (labels.some((label) => !/^[a-z0-9_-]{1,63}$/.test(label))) return undefined
  return NUMERIC_LABEL.test(labels.at(-1) as string) ? undefined : name
}

/** An IPv6 address as RFC 5952 writes it; undefined when `text` is none (RFC 4291, section 2.2; no zone). */
export function canonicalIpv6(text: string): string | undefined {
  const groups = parseIpv6(text)
  if (groups === undefined) return undefined
  const hex = groups.map((group) => group.toString(16))
  const { start, length } = longestZeroRun(groups)
  if (length < 2) return hex.join(':')
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}`
}

/** An address as its 16-bit groups, two for IPv4 and eight for IPv6; undefined when `text` is none. */
export function addressGroups(text: string): readonly number[] | undefined {
  return isIpv4(text) ? ipv4Groups(text) : parseIpv6(text)
}

function parseIpv6(text: string): number[] | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const head = parseGroups(halves[0] as string, halves.length === 1)
  if (head === undefined) return undefined
  if (halves.length === 1) return head.length === 8 ? head : undefined
  const tail = parseGroups(halves[1] as string, true)
  if (tail === undefined || head.length + tail.length > 7) return undefined
  return [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail]
}

/** The 16-bit groups of one side of `::`; dotted decimal may stand only at the very end. */
function parseGroups(text: string, atEnd: boolean): number[] | undefined {
  if (text === '') return []
  const groups: number[] = []
  const parts = text.split(':')
  for (const [index, part] of parts.entries()) {
    if (/^[0-9A-Fa-f]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16))
    else if (atEnd && index === parts.length - 1 && isIpv4(part)) groups.push(...ipv4Groups(part))
    else return undefined
  }
  return groups
}

function ipv4Groups(text: string): [number, number] {
  const [a, b, c, d] = text.split('.').map(Number) as [number, number, number, number]
  return [a * 256 + b, c * 256 + d]
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 }
  for (let start = 0; start < groups.length; start++) {
    let length = 0
    while (groups[start + length] === 0) length++
    if (length > best.length) best = { start, length }
    start += length
  }
  return best
}
