// Which rule a request falls under, and what it becomes on the way to the origin. Pure, and the same for HTTP/1.1 and 2.
//
// Rules:
// - Hosts: the exact name wins, then the longest `*.suffix`; of a host's rules the first that matches.
// - Hop-by-hop fields go first (RFC 9110, section 7.6.1), also the ones that Connection names; then the rule does its
//   part (credentials/).

import { type Authority, formatAuthority, parseAuthority } from 'ccr-upstream-proxy/protocol'
import { assertPlaceholders, type RuledFields, type Transforms } from '../credentials/apply-rule.js'
import { endToEndFields, listOf, looseName, type RawFields, trailerFields, valuesOf } from '../fields.js'
import { Refusal } from '../refusal.js'

export { isReservedField } from '../fields.js'

/** One rule of a host. */
export interface Rule {
  readonly match: {
    /** Path prefix, in whole segments. */
    readonly path?: string
    /** Methods in upper case. */
    readonly method?: readonly string[]
    /** Schemes of the client's own Authorization, lower case; `none` is for requests without one. */
    readonly scheme?: readonly string[]
  }
  readonly transforms: Transforms
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

/** How long a request's body is. */
export type BodyLength = number | 'none' | 'unknown'

/** What an intercepted client asked for, out of either protocol. */
export interface RequestHead {
  readonly method: string
  /** The request target as it came. */
  readonly target: string
  /** Every place in which the request names its host: Host, `:authority`. At least one. */
  readonly hosts: readonly string[]
  /** Without the pseudo fields of HTTP/2. */
  readonly fields: RawFields
  readonly bodyLength: BodyLength
  /** The client asks to go on in another protocol. */
  readonly upgrade?: 'websocket'
}

/** A request that may be sent, and the rule that it falls under. */
export interface MatchedRequest {
  readonly head: RequestHead
  /** The end-to-end fields, before the rule; without Host and framing, which are the protocol's. */
  readonly fields: readonly string[]
  readonly rule: Rule | undefined
  /** `pattern[index]` of the rule. */
  readonly ruleName: string | undefined
}

/** What is asked of the origin, whichever protocol that speaks. */
export interface OriginRequest {
  readonly method: string
  /** Origin-form: path and query. */
  readonly target: string
  /** After the rule; without Host and framing. */
  readonly fields: readonly string[]
  /** Names of the fields that a secret went into, lower case. */
  readonly injected: readonly string[]
  readonly bodyLength: BodyLength
  /** The client takes trailers, and says so (gRPC does). */
  readonly wantsTrailers: boolean
  readonly upgrade?: 'websocket'
}

/**
 * Checks a request against the tunnel that it came through.
 * @throws {Refusal} when it is for another host, in another form than origin-form, or by a method that would echo
 */
export function matchRequest(head: RequestHead, authority: Authority, host: RuledHost): MatchedRequest {
  assertMethod(head.method)
  assertTarget(head.method, head.target)
  assertSameHost(head.hosts, authority)
  const index = findRule(host.rules, head)
  const rule = host.rules[index]
  const fields = endToEndFields(head.fields, (field) => !OWN_FIELDS.has(field))
  assertPlaceholders(fields, rule, host)
  return {
    head,
    fields,
    rule,
    ruleName: index === -1 ? undefined : `${host.pattern}[${index}]`,
  }
}

/** Written anew by http1/ and http2/. */
const OWN_FIELDS: ReadonlySet<string> = new Set(['host', 'content-length', 'trailer'])

/** Writes a request anew for the origin. */
export function originRequest({ head }: MatchedRequest, { fields, injected }: RuledFields): OriginRequest {
  const { method, target, bodyLength, upgrade } = head
  return {
    method,
    target,
    fields,
    injected,
    bodyLength,
    wantsTrailers: listOf(head.fields, 'te').includes('trailers'),
    ...(upgrade !== undefined && { upgrade }),
  }
}

/** The trailers of a request's body for the origin: nothing there that could stand in for what was injected. */
export function originTrailers(fields: RawFields, injected: readonly string[]): string[] {
  const names = new Set(injected.map(looseName))
  return trailerFields(fields, (field) => !names.has(looseName(field)))
}

/** The fields of the origin's answer for the client: all but the hop-by-hop ones. */
export function downstreamFields(fields: RawFields): string[] {
  return endToEndFields(fields, () => true)
}

function assertMethod(method: string): void {
  // TRACE answers with the request, injected header included; TRACK is Microsoft's name for it.
  if (method === 'TRACE' || method === 'TRACK' || method === 'CONNECT') {
    throw new Refusal('method-not-allowed', `${method} is not forwarded`)
  }
  if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(method)) throw new Refusal('bad-request', 'the method is no token')
}

/**
 * RFC 9112, section 3.2: only a proxy gets the absolute form, and inside the tunnel nobody speaks to a proxy. What an
 * HTTP/2 `:path` could smuggle into a request line is refused with it.
 */
function assertTarget(method: string, target: string): void {
  const isOrigin = target.startsWith('/') && /^[!"$-~]+$/.test(target)
  if (isOrigin || (method === 'OPTIONS' && target === '*')) return
  throw new Refusal('bad-request', 'the request target is not in origin form')
}

/** RFC 9110, section 7.4: a request for another host than the connection's is misdirected. */
function assertSameHost(hosts: readonly string[], authority: Authority): void {
  for (const value of hosts) {
    const named = parseAuthority(value) ?? parseAuthority(`${value}:443`)
    const isSame = named !== undefined && named.host === authority.host && named.port === authority.port
    if (!isSame) throw new Refusal('misdirected', 'the request names another host than the CONNECT')
  }
}

function findRule(rules: readonly Rule[], { method, target, fields }: RequestHead): number {
  const [path] = target.split(/[?#]/, 1) as [string]
  // Origins resolve dot segments, in several spellings: with them a path could leave the prefix that a rule is for.
  if (rules.some(({ match }) => match.path !== undefined) && hasDotSegment(path)) {
    throw new Refusal('bad-request', 'the path has dot segments, and the rules of this host are by path')
  }
  const scheme = authenticationScheme(fields)
  return rules.findIndex(({ match }) => {
    return (
      matchesPath(match.path, path) &&
      (match.method?.includes(method) ?? true) &&
      (match.scheme?.includes(scheme) ?? true)
    )
  })
}

/** RFC 9110, section 11.4: the first word of Authorization. */
function authenticationScheme(fields: RawFields): string {
  const [value] = valuesOf(fields, 'authorization')
  return value?.trim().split(/[ \t]/, 1)[0]?.toLowerCase() || 'none'
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
