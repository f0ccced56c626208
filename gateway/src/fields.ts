// Header fields as the flat list that came over the wire, and what an intermediary does to them. Pure.
//
// Rules:
// - A list, never an object: a field named `__proto__`, in odd case or sent twice stays visible.
// - A field that some origin reads as another is treated as that one: see `looseName`.

/** Header fields as a flat list: name, value, name, value. */
export type RawFields = readonly string[]

/** Fields of one connection only (RFC 9110, section 7.6.1), `Trailer` apart, which answers keep. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
])

/** What a trailer may not say: framing, routing, who asks, and how to read the body (RFC 9110, section 6.5.1). */
const NOT_IN_TRAILERS: ReadonlySet<string> = new Set([
  'authorization',
  'cache-control',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'expect',
  'host',
  'range',
  'set-cookie',
  'trailer',
])

/** Fields that a rule may not set: they are the gateway's own. */
export function isReservedField(name: string): boolean {
  const field = looseName(name)
  return HOP_BY_HOP.has(field) || ['host', 'content-length', 'expect', 'trailer'].includes(field)
}

/** The values of one field, in order. */
export function valuesOf(fields: RawFields, lowerCaseName: string): string[] {
  const values: string[] = []
  for (const [name, value] of fieldPairs(fields)) if (name.toLowerCase() === lowerCaseName) values.push(value)
  return values
}

/** Name and value, one field after the other. */
export function* fieldPairs(fields: RawFields): Generator<[name: string, value: string]> {
  for (let at = 0; at < fields.length; at += 2) yield [fields[at] as string, fields[at + 1] as string]
}

/** All fields but the hop-by-hop ones, as far as `keep` keeps them. */
export function endToEndFields(fields: RawFields, keep: (lowerCaseName: string) => boolean): string[] {
  const named = connectionOptions(fields)
  const kept: string[] = []
  for (const [name, value] of fieldPairs(fields)) {
    const field = looseName(name)
    if (!HOP_BY_HOP.has(field) && !named.has(field) && keep(name.toLowerCase())) kept.push(name, value)
  }
  return kept
}

/** The trailer fields that may go on. */
export function trailerFields(fields: RawFields, keep: (lowerCaseName: string) => boolean): string[] {
  return endToEndFields(fields, (field) => !NOT_IN_TRAILERS.has(looseName(field)) && keep(field))
}

/** The fields that Connection declares hop-by-hop. Content-Length is none: framing is not the sender's to drop. */
function connectionOptions(fields: RawFields): ReadonlySet<string> {
  const named = new Set(listOf(fields, 'connection').map(looseName))
  named.delete('content-length')
  return named
}

/** The members of a comma-separated field, in lower case. */
export function listOf(fields: RawFields, lowerCaseName: string): string[] {
  const members = valuesOf(fields, lowerCaseName).flatMap((value) => value.split(','))
  return members.map((member) => member.trim().toLowerCase()).filter((member) => member !== '')
}

/**
 * The name as CGI-like origins read it: `_` is `-` to Python's and Ruby's, and every mark is to lighttpd, so that
 * `Content_Length` and `Content.Length` are a second Content-Length there.
 */
export function looseName(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '-')
}
