// Which rule a request falls under. Pure.
//
// Rules:
// - Hosts: the exact name wins, then the longest `*.suffix`; of a host's rules the first that matches.
// - A request falls under none when it could be read in more than one way and the rules tell the readings apart: it would
//   get one rule's credential here and be another rule's request at the origin.

import type { Authority } from 'ccr-upstream-proxy/protocol'
import { patternsFor } from './host-pattern.js'
import { isUnder, type RequestPath, readPath } from './request-path.js'
import type { Transform } from './transform.js'

/** What a request must be for a rule to be for it. What is not said matches all. */
export interface RuleMatch {
  /** Path prefix, in whole segments. */
  readonly path?: RequestPath
  /** In upper case, as every method that is forwarded. */
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
  /** The scheme of each Authorization, lower case; `none` without one. */
  readonly schemes: readonly string[]
}

export type RuleVerdict =
  | { readonly kind: 'rule'; readonly rule: Rule; readonly name: string }
  | { readonly kind: 'none' }
  /** What of the request is read in more than one way. */
  | { readonly kind: 'ambiguous'; readonly trait: 'path' | 'scheme' }

/** The rules for `authority`; undefined when it has none and is not intercepted. */
export function findHostRules(hosts: HostRules, authority: Authority): RuledHost | undefined {
  for (const pattern of patternsFor(authority)) {
    const rules = hosts.get(pattern)
    if (rules !== undefined) return { pattern, rules }
  }
  return undefined
}

/** The rule of `host` for a request; its name is `pattern[index]`. */
export function findRule({ pattern, rules }: RuledHost, { method, target, schemes }: RequestTraits): RuleVerdict {
  const isBy = (trait: keyof RuleMatch) => rules.some(({ match }) => match[trait] !== undefined)
  const path = readPath(target.split('?', 1)[0] as string)
  if (path === undefined && isBy('path')) return { kind: 'ambiguous', trait: 'path' }
  if (schemes.some((scheme) => scheme !== schemes[0]) && isBy('scheme')) return { kind: 'ambiguous', trait: 'scheme' }

  const find = (form: keyof RequestPath) =>
    rules.findIndex(({ match }) => {
      const isPath = match.path === undefined || (path !== undefined && isUnder(path[form], match.path[form]))
      const isScheme = match.scheme?.includes(schemes[0] as string) ?? true
      return isPath && isScheme && (match.method?.includes(method) ?? true)
    })
  const index = find('normal')
  if (find('lenient') !== index) return { kind: 'ambiguous', trait: 'path' }
  const rule = rules[index]
  return rule === undefined ? { kind: 'none' } : { kind: 'rule', rule, name: `${pattern}[${index}]` }
}
