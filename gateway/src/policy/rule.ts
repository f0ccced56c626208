// Which rule a request falls under. Pure.
//
// Rules:
// - Hosts: the exact name wins, then the longest `*.suffix`; of a host's rules the first that matches.
// - Where rules are by path, a path that origins read in different ways falls under none: it could leave the prefix
//   that a rule is for.

import type { Authority } from 'ccr-upstream-proxy/protocol'
import { patternsFor } from './host-pattern.js'
import type { Transform } from './transform.js'

/** What a request must be for a rule to be for it. What is not said matches all. */
export interface RuleMatch {
  /** Path prefix, in whole segments. */
  readonly path?: string
  /** Methods in upper case. */
  readonly method?: readonly string[]
  /** Schemes of the client's own Authorization, lower case; `none` is for requests without one. */
  readonly scheme?: readonly string[]
}

/** One rule of a host. */
export interface Rule {
  readonly match: RuleMatch
  /** In order. */
  readonly transforms: readonly Transform[]
}

/** Rules by canonical host pattern. */
export type HostRules = ReadonlyMap<string, readonly Rule[]>

/** The rules that a host falls under. */
export interface RuledHost {
  readonly pattern: string
  readonly rules: readonly Rule[]
}

/** What rules go by. */
export interface RequestTraits {
  readonly method: string
  /** Origin-form: path and query. */
  readonly target: string
  /** The scheme of Authorization, lower case; `none` without one. */
  readonly scheme: string
}

export type RuleVerdict =
  | { readonly kind: 'rule'; readonly rule: Rule; readonly name: string }
  | { readonly kind: 'none' }
  | { readonly kind: 'ambiguous-path' }

/** The rules for `authority`; undefined when it has none and is not intercepted. */
export function findHostRules(hosts: HostRules, authority: Authority): RuledHost | undefined {
  for (const pattern of patternsFor(authority)) {
    const rules = hosts.get(pattern)
    if (rules !== undefined) return { pattern, rules }
  }
  return undefined
}

/** The rule of `host` for a request; its name is `pattern[index]`. */
export function findRule({ pattern, rules }: RuledHost, { method, target, scheme }: RequestTraits): RuleVerdict {
  const [path] = target.split(/[?#]/, 1) as [string]
  if (rules.some(({ match }) => match.path !== undefined) && hasDotSegment(path)) return { kind: 'ambiguous-path' }
  const index = rules.findIndex(({ match }) => {
    return (
      matchesPath(match.path, path) &&
      (match.method?.includes(method) ?? true) &&
      (match.scheme?.includes(scheme) ?? true)
    )
  })
  const rule = rules[index]
  return rule === undefined ? { kind: 'none' } : { kind: 'rule', rule, name: `${pattern}[${index}]` }
}

function matchesPath(prefix: string | undefined, path: string): boolean {
  if (prefix === undefined) return true
  const bare = prefix.endsWith('/') ? prefix.slice(0, -1) : prefix
  return path === bare || path.startsWith(`${bare}/`)
}

/** Whether a segment is `.` or `..` for some origin: percent-encoded, after `\` or `%2f`, or with `;` parameters. */
function hasDotSegment(path: string): boolean {
  const decoded = path.replace(/%2e/gi, '.').replace(/%2f|%5c|\\/gi, '/')
  return decoded.split('/').some((segment) => /^\.\.?(;.*)?$/.test(segment))
}
