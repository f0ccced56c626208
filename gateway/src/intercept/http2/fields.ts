// Header fields between the flat list that everything else uses and what node:http2 takes and gives.

import { type OutgoingHttpHeaders, sensitiveHeaders } from 'node:http2'
import { fieldPairs, type RawFields } from '../../fields.js'

/** The fields without the pseudo fields, and those apart. */
export function splitPseudo(fields: RawFields): { pseudo: ReadonlyMap<string, string>; regular: string[] } {
  const pseudo = new Map<string, string>()
  const regular: string[] = []
  for (const [name, value] of fieldPairs(fields)) {
    if (name.startsWith(':')) pseudo.set(name, value)
    else regular.push(name, value)
  }
  return { pseudo, regular }
}

/** For node:http2: names in lower case, values that came more than once as a list. */
export function toHeaders(fields: RawFields, sensitive: readonly string[] = []): OutgoingHttpHeaders {
  // No prototype: `__proto__` is a field name like any other.
  const headers: OutgoingHttpHeaders = Object.create(null)
  for (const [name, value] of fieldPairs(fields)) {
    const field = name.toLowerCase()
    const known = headers[field]
    headers[field] = known === undefined ? value : [...(Array.isArray(known) ? known : [String(known)]), value]
  }
  // Never in the compression table (RFC 7541, section 7.1.3): what is there can be guessed at by its effect.
  if (sensitive.length > 0) Object.assign(headers, { [sensitiveHeaders]: sensitive.map((name) => name.toLowerCase()) })
  return headers
}

/** Without the repetitions of a field that may stand there once: node sends none of those. The first one counts. */
export function withoutRepetitions(fields: RawFields): string[] {
  const seen = new Set<string>()
  const kept: string[] = []
  for (const [name, value] of fieldPairs(fields)) {
    const field = name.toLowerCase()
    if (SINGLE.has(field) && seen.has(field)) continue
    seen.add(field)
    kept.push(name, value)
  }
  return kept
}

/** The fields of answers that node:http2 takes once only. */
const SINGLE: ReadonlySet<string> = new Set([
  'access-control-allow-credentials',
  'access-control-max-age',
  'access-control-request-method',
  'age',
  'content-encoding',
  'content-language',
  'content-length',
  'content-location',
  'content-md5',
  'content-range',
  'content-type',
  'date',
  'dnt',
  'etag',
  'expires',
  'from',
  'last-modified',
  'location',
  'max-forwards',
  'range',
  'referer',
  'retry-after',
  'tk',
  'upgrade-insecure-requests',
  'user-agent',
  'x-content-type-options',
])

/** The crumbs of a cookie as HTTP/1.1 has them, in one field (RFC 9113, section 8.2.3). */
export function joinCookies(fields: RawFields): string[] {
  const crumbs: string[] = []
  const rest: string[] = []
  for (const [name, value] of fieldPairs(fields)) {
    if (name === 'cookie') crumbs.push(value)
    else rest.push(name, value)
  }
  return crumbs.length === 0 ? rest : [...rest, 'cookie', crumbs.join('; ')]
}
