// Patterns of hosts: `api.example.com`, `*.example.com`, an address, each with a port or without. Pure.

import { type Authority, formatAuthority, parseAuthority } from 'ccr-upstream-proxy/protocol'

/** Lower case, no trailing dot; a `*` only as the whole first label; a port only when it was given. */
export function canonicalHostPattern(value: string): string | undefined {
  const isWildcard = value.startsWith('*.')
  const bare = isWildcard ? value.slice(2) : value
  const withPort = parseAuthority(bare)
  const parsed = withPort ?? parseAuthority(`${bare}:443`) ?? parseAuthority(`[${bare}]:443`)
  if (parsed === undefined || (isWildcard && parsed.kind !== 'name')) return undefined
  const host = withPort === undefined ? parsed.host : formatAuthority(parsed)
  return isWildcard ? `*.${host}` : host
}

/** The patterns that `authority` falls under, the narrowest first; of two with one host, the one for this port only. */
export function* patternsFor(authority: Authority): Generator<string> {
  const { kind, host, port } = authority
  yield formatAuthority(authority)
  yield host
  if (kind !== 'name') return
  for (let dot = host.indexOf('.'); dot !== -1; dot = host.indexOf('.', dot + 1)) {
    yield `*${host.slice(dot)}:${port}`
    yield `*${host.slice(dot)}`
  }
}
