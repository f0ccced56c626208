// Whether a request may go on, and under which rule. Pure, and the same for HTTP/1.1 and 2.

import { type Authority, parseAuthority } from 'ccr-upstream-proxy/protocol'
import { assertPlaceholders } from '../credentials/placeholders.js'
import { endToEndFields, fieldPairs, looseName, type RawFields, valuesOf } from '../fields.js'
import { findRule, type Rule, type RuledHost, type RuleVerdict } from '../policy/rule.js'
import type { OutgoingHead } from '../policy/transform.js'
import { Refusal } from '../refusal.js'
import type { RequestHead } from './request-head.js'

/** A request that may be sent, and the rule that it falls under. */
export interface MatchedRequest {
  readonly head: RequestHead
  /** What of it goes on, before the rule. */
  readonly outgoing: OutgoingHead
  readonly rule: Rule | undefined
  /** `pattern[index]` of the rule. */
  readonly ruleName: string | undefined
}

/**
 * Checks a request against the tunnel that it came through.
 * @throws {Refusal} when it is for another host, in another form than origin-form, or by a method that would echo
 */
export function matchRequest(head: RequestHead, authority: Authority, host: RuledHost): MatchedRequest {
  const { method, target } = head
  assertMethod(method)
  assertTarget(method, target)
  assertSameHost(head.hosts, authority)
  assertFramingNames(head.fields)
  const verdict = findRule(host, { method, target, scheme: authenticationScheme(head.fields) })
  assertOneReading(verdict)
  const fields = [...fieldPairs(endToEndFields(head.fields, (field) => !OWN_FIELDS.has(field)))]
  const { rule, name: ruleName } = verdict.kind === 'rule' ? verdict : { rule: undefined, name: undefined }
  assertPlaceholders(fields, rule, host)
  return { head, outgoing: { method, target, authority, fields }, rule, ruleName }
}

/** Written anew by http1/ and http2/. */
const OWN_FIELDS: ReadonlySet<string> = new Set(['host', 'content-length', 'trailer'])

function assertMethod(method: string): void {
  // node:http writes methods in upper case: what a rule did not see must not be what the origin gets.
  if (/[a-z]/.test(method)) throw new Refusal('method-not-allowed', 'methods are in upper case')
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

const FRAMING: ReadonlySet<string> = new Set(['content-length', 'transfer-encoding'])

/** A framing field in a spelling that is none to our parser is one to the parsers of some origins. */
function assertFramingNames(fields: RawFields): void {
  for (const [name] of fieldPairs(fields)) {
    const isMisspelt = FRAMING.has(looseName(name)) && !FRAMING.has(name.toLowerCase())
    if (isMisspelt) throw new Refusal('bad-request', 'a field that some origins read as framing is misspelt')
  }
}

function assertOneReading({ kind }: RuleVerdict): void {
  if (kind !== 'ambiguous-path') return
  throw new Refusal('bad-request', 'the path has dot segments, and the rules of this host are by path')
}

/** RFC 9110, section 11.4: the first word of Authorization. */
function authenticationScheme(fields: RawFields): string {
  const [value] = valuesOf(fields, 'authorization')
  return value?.trim().split(/[ \t]/, 1)[0]?.toLowerCase() || 'none'
}
