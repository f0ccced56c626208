// Whether a request may go on, and under which rule. Pure, and the same for HTTP/1.1 and 2.

import { type Authority, parseAuthority } from 'ccr-upstream-proxy/protocol'
import { assertPlaceholders } from '../credentials/placeholders.js'
import { endToEndFields, fieldPairs, looseName, type RawFields, valuesOf } from '../fields.js'
import { methodProblem } from '../policy/request-method.js'
import { findRule, type Rule, type RuledHost } from '../policy/rule.js'
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
 * @throws {Refusal} when it is for another host, or could be another request to the origin than it is to the rules
 */
export function matchRequest(head: RequestHead, authority: Authority, host: RuledHost): MatchedRequest {
  const { method, target } = head
  assertMethod(method)
  assertTarget(method, target)
  assertSameHost(head.hosts, authority)
  assertFramingNames(head.fields)
  const verdict = findRule(host, { method, target, schemes: authenticationSchemes(head.fields) })
  if (verdict.kind === 'ambiguous') throw ambiguous(verdict.trait)
  const fields = [...fieldPairs(endToEndFields(head.fields, (field) => !OWN_FIELDS.has(field)))]
  const { rule, name: ruleName } = verdict.kind === 'rule' ? verdict : { rule: undefined, name: undefined }
  assertPlaceholders(fields, rule, host)
  return { head, outgoing: { method, target, authority, fields }, rule, ruleName }
}

/** Written anew by http1/ and http2/. */
const OWN_FIELDS: ReadonlySet<string> = new Set(['host', 'content-length', 'trailer'])

function assertMethod(method: string): void {
  if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(method)) throw new Refusal('bad-request', 'the method is no token')
  const problem = methodProblem(method)
  if (problem !== undefined) throw new Refusal('method-not-allowed', problem)
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

/**
 * RFC 9112, section 3.2, has 400 for what names no host: userinfo, a path, a list. RFC 9110, section 7.4, has 421 for
 * another host than the connection's.
 */
function assertSameHost(hosts: readonly string[], authority: Authority): void {
  for (const value of hosts) {
    const named = parseAuthority(value) ?? parseAuthority(`${value}:443`)
    if (named === undefined)
      throw new Refusal('bad-request', 'Host or :authority is not one host, with a port or without')
    const isSame = named.host === authority.host && named.port === authority.port
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

function ambiguous(trait: 'path' | 'scheme'): Refusal {
  return trait === 'path'
    ? new Refusal(
        'ambiguous-path',
        'origins read this path in more than one way, and the rules of this host are by path',
      )
    : new Refusal('bad-request', 'the Authorization fields differ in scheme, and the rules of this host are by scheme')
}

/** RFC 9110, section 11.4: the first word of each Authorization. */
function authenticationSchemes(fields: RawFields): string[] {
  const schemes = valuesOf(fields, 'authorization').map(
    (value) => value.trim().split(/[ \t]/, 1)[0]?.toLowerCase() || 'none',
  )
  return schemes.length === 0 ? ['none'] : schemes
}
