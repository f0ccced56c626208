// Which rule a request falls under, and what its header fields become on the way to the origin and back. Pure.
//
// Rules:
// - Hosts: the exact name wins, then the longest `*.suffix`; of a host's rules the first that matches.
// - A request is looked at as the list of fields that came, never as an object: a field named `__proto__`, in odd case
//   or sent twice stays visible.
// - Hop-by-hop fields go first (RFC 9110, section 7.6.1), also the ones that Connection names; then the client's own
//   copies of what is injected, `_` read as `-` because CGI-like origins do; then each is set once.

import { type Authority, formatAuthority, parseAuthority } from 'ccr-upstream-proxy/protocol'
import { Refusal } from './refusal.js'
import type { Secret } from './secret.js'

/** Header fields as a flat list: name, value, name, value. */
export type RawFields = readonly string[]

/** One rule of a host. */
export interface Rule {
  readonly match: {
    /** Path prefix, in whole segments. */
    readonly path?: string
    /** Methods in upper case. */
    readonly method?: readonly string[]
  }
  /** Header fields to set, in order: the name as the config spells it. */
  readonly headers: readonly { readonly name: string; readonly value: Secret }[]
}

/** Rules by host pattern: `api.example.com`, `*.example.com`, an address. */
export type HostRules = ReadonlyMap<string, readonly Rule[]>

/** The rules that a host falls under. */
export interface RuledHost {
  readonly pattern: string
  readonly rules: readonly Rule[]
}

/** The rules for `authority`; undefined when it has none and is not intercepted. */
export function findHostRules(hosts: HostRules, authority: Authority): RuledHost | undefined {
  for (const pattern of patternsFor(authority)) {
    const rules = hosts.get(pattern)
    if (rules !== undefined) return { pattern, rules }
  }
  return undefined
}

function* patternsFor({ kind, host }: Authority): Generator<string> {
  yield host
  if (kind !== 'name') return
  for (let dot = host.indexOf('.'); dot !== -1; dot = host.indexOf('.', dot + 1)) yield `*${host.slice(dot)}`
}

/** What an intercepted client asked for. */
export interface RequestHead {
  readonly method: string
  /** The request target as it came. */
  readonly target: string
  readonly fields: RawFields
}

/** What is asked of the origin. */
export interface UpstreamRequest {
  readonly method: string
  /** Origin-form: path and query. */
  readonly target: string
  readonly fields: string[]
  /** Names of the injected fields, lower case. */
  readonly injected: readonly string[]
  /** `pattern[index]` of the rule that matched. */
  readonly rule: string | undefined
}

/**
 * Checks a request against the tunnel that it came through and writes it anew for the origin.
 * @throws {Refusal} when it is for another host, in another form than origin-form, or by a method that would echo
 */
export function planRequest(head: RequestHead, authority: Authority, host: RuledHost): UpstreamRequest {
  const { method, target, fields } = head
  // TRACE answers with the request, injected header included; TRACK is Microsoft's name for it.
  if (method === 'TRACE' || method === 'TRACK') throw new Refusal('method-not-allowed', `${method} is not forwarded`)
  assertOriginForm(method, target)
  assertFraming(fields)
  assertSameHost(fields, authority)
  const index = findRule(host.rules, method, target)
  const headers = host.rules[index]?.headers ?? []
  const injected = headers.map(({ name }) => name.toLowerCase())
  return {
    method,
    target,
    fields: [
      ...['Host', hostField(authority)],
      ...upstreamFields(fields, new Set(injected.map(looseName))),
      ...framingFields(method, fields),
      ...headers.flatMap(({ name, value }) => [name, value.reveal()]),
    ],
    injected,
    rule: index === -1 ? undefined : `${host.pattern}[${index}]`,
  }
}

/** RFC 9112, section 3.2: only a proxy gets the absolute form, and inside the tunnel nobody speaks to a proxy. */
function assertOriginForm(method: string, target: string): void {
  if (target.startsWith('/') || (method === 'OPTIONS' && target === '*')) return
  throw new Refusal('bad-request', 'the request target is not in origin form')
}

/** RFC 9112, section 6.1: `chunked` is the one coding that both sides know; node's parser tells of others too late. */
function assertFraming(fields: RawFields): void {
  const codings = valuesOf(fields, 'transfer-encoding')
  if (codings.length === 0 || (codings.length === 1 && codings[0]?.toLowerCase() === 'chunked')) return
  throw new Refusal('bad-request', 'the transfer coding is not chunked')
}

/** RFC 9110, section 7.4: a request for another host than the connection's is misdirected. */
function assertSameHost(fields: RawFields, authority: Authority): void {
  const hosts = valuesOf(fields, 'host')
  const [value] = hosts
  if (value === undefined || hosts.length > 1) throw new Refusal('bad-request', 'not exactly one Host field')
  const named = parseAuthority(value) ?? parseAuthority(`${value}:443`)
  const isSame = named !== undefined && named.host === authority.host && named.port === authority.port
  if (!isSame) throw new Refusal('misdirected', 'the Host field names another host than the CONNECT')
}

/** The Host field for the origin: https's own port is left out, as every client does. */
function hostField(authority: Authority): string {
  const text = formatAuthority(authority)
  return authority.port === 443 ? text.slice(0, -':443'.length) : text
}

function findRule(rules: readonly Rule[], method: string, target: string): number {
  const [path] = target.split(/[?#]/, 1) as [string]
  // Origins resolve dot segments, in several spellings: with them a path could leave the prefix that a rule is for.
  if (rules.some(({ match }) => match.path !== undefined) && hasDotSegment(path)) {
    throw new Refusal('bad-request', 'the path has dot segments, and the rules of this host are by path')
  }
  return rules.findIndex(({ match }) => matchesPath(match.path, path) && (match.method?.includes(method) ?? true))
}

function matchesPath(prefix: string | undefined, path: string): boolean {
  if (prefix === undefined) return true
  const bare = prefix.endsWith('/') ? prefix.slice(0, -1) : prefix
  return path === bare || path.startsWith(`${bare}/`)
}

/** Whether a segment is `.` or `..` for some origin: percent-encoded, behind `\` or `%2f`, or with `;` parameters. */
function hasDotSegment(path: string): boolean {
  const decoded = path.replace(/%2e/gi, '.').replace(/%2f|%5c|\\/gi, '/')
  return decoded.split('/').some((segment) => /^\.\.?(;.*)?$/.test(segment))
}

const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** Fields that a rule may not set: they are the gateway's own. */
export function isReservedField(name: string): boolean {
  const field = name.toLowerCase()
  return HOP_BY_HOP.has(field) || field === 'host' || field === 'content-length' || field === 'expect'
}

function upstreamFields(fields: RawFields, injected: ReadonlySet<string>): string[] {
  return filterFields(fields, (field) => {
    return field !== 'host' && field !== 'content-length' && !injected.has(looseName(field))
  })
}

/** The body's framing, regenerated from what the parser accepted (RFC 9112, section 6). */
function framingFields(method: string, fields: RawFields): string[] {
  if (valuesOf(fields, 'transfer-encoding').length > 0) return ['Transfer-Encoding', 'chunked']
  const [length] = valuesOf(fields, 'content-length')
  if (length !== undefined) return ['Content-Length', length]
  // RFC 9110, section 8.6: a method that usually has content says so when there is none.
  return method === 'POST' || method === 'PUT' || method === 'PATCH' ? ['Content-Length', '0'] : []
}

/** Whether a request with these fields has a body (RFC 9112, section 6.3). */
export function hasBody(fields: RawFields): boolean {
  if (valuesOf(fields, 'transfer-encoding').length > 0) return true
  return valuesOf(fields, 'content-length').some((length) => Number(length) !== 0)
}

/** The fields of the origin's answer for the client: all but the hop-by-hop ones. */
export function downstreamFields(fields: RawFields): string[] {
  return filterFields(fields, () => true)
}

function filterFields(fields: RawFields, keep: (lowerCaseName: string) => boolean): string[] {
  const named = connectionOptions(fields)
  const kept: string[] = []
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string
    const field = name.toLowerCase()
    if (!HOP_BY_HOP.has(field) && !named.has(field) && keep(field)) kept.push(name, fields[at + 1] as string)
  }
  return kept
}

/** The fields that Connection declares hop-by-hop. Content-Length is none: framing is not the sender's to drop. */
function connectionOptions(fields: RawFields): ReadonlySet<string> {
  const options = valuesOf(fields, 'connection').flatMap((value) => value.split(','))
  const named = new Set(options.map((option) => option.trim().toLowerCase()))
  named.delete('content-length')
  return named
}

function valuesOf(fields: RawFields, lowerCaseName: string): string[] {
  const values: string[] = []
  for (let at = 0; at < fields.length; at += 2) {
    if ((fields[at] as string).toLowerCase() === lowerCaseName) values.push(fields[at + 1] as string)
  }
  return values
}

function looseName(name: string): string {
  return name.toLowerCase().replaceAll('_', '-')
}
