// Header fields between the flat list that everything else uses and what node:http2 takes and gives.

import { type OutgoingHttpHeaders, sensitiveHeaders } from 'node:http2'
import { fieldPairs, type RawFields } from '../../fields.js'
import { Refusal } from '../../refusal.js'

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

/**
 * For node:http2, and only what it takes: names in lower case, nothing that is of one HTTP/1.1 connection, a field that came
 * more than once as a list, or once where it is no list; the first one counts.
 */
export function toHeaders(fields: RawFields, sensitive: readonly string[] = []): OutgoingHttpHeaders {
  // No prototype: `__proto__` is a field name like any other.
  const headers: OutgoingHttpHeaders = Object.create(null)
  for (const [name, value] of fieldPairs(fields)) {
    const field = name.toLowerCase()
    if (CONNECTION_SPECIFIC.has(field) || (field === 'te' && value.toLowerCase() !== 'trailers')) continue
    const known = headers[field]
    if (known === undefined) headers[field] = value
    else if (LISTS_SENT_ONCE.has(field)) headers[field] = `${known}, ${value}`
    else if (!SINGLE.has(field)) headers[field] = [...(Array.isArray(known) ? known : [String(known)]), value]
  }
  // Never in the compression table (RFC 7541, section 7.1.3): what is there can be guessed at by its effect.
  if (sensitive.length > 0) Object.assign(headers, { [sensitiveHeaders]: sensitive.map((name) => name.toLowerCase()) })
  return headers
}

/**
 * A request whose meaning depends on which of two equal fields counts is not sent.
 * @throws {Refusal}
 */
export function assertSingleFields(fields: RawFields): void {
  const seen = new Set<string>()
  for (const [name] of fieldPairs(fields)) {
    const field = name.toLowerCase()
    if (SINGLE.has(field) && seen.has(field)) {
      throw new Refusal('bad-request', 'a field that may stand there once came twice')
    }
    seen.add(field)
  }
}

/** RFC 9113, section 8.2.2; node:http2 throws at the sight of them. */
const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
])

/** Lists (RFC 9110) of which node:http2 takes one field only. */
const LISTS_SENT_ONCE: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-language',
  'if-match',
  'if-none-match',
])

/** What else node:http2 takes once only. */
const SINGLE: ReadonlySet<string> = new Set([
  'access-control-allow-credentials',
  'access-control-max-age',
  'access-control-request-method',
  'age',
  'authorization',
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
  'host',
  'if-modified-since',
  'if-range',
  'if-unmodified-since',
  'last-modified',
  'location',
  'max-forwards',
  'proxy-authorization',
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
