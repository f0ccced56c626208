// What happens to a host: refused, spliced untouched, or intercepted. Pure.
//
// Rules:
// - `deny` wins over everything.
// - A host is let through when `allow` or a rule names it, or when the default is `allow`.
// - A host with a rule is intercepted, unless it is pinned: `pinned` says how a host is let through, not whether.

import type { Authority } from 'ccr-upstream-proxy/protocol'
import { patternsFor } from './host-pattern.js'
import { findHostRules, type HostRules, type RuledHost } from './rule.js'

/** Lists of host patterns in canonical form, as the keys of `hosts` are. */
export interface HostPolicy {
  /** For hosts that nothing else is said about. */
  readonly default: 'allow' | 'deny'
  /** Let through without a rule. */
  readonly allow: readonly string[]
  /** Refused, whatever else is said. */
  readonly deny: readonly string[]
  /** Hosts that are never intercepted: their clients would not take our certificate. */
  readonly pinned: readonly string[]
  /** Rules by host. */
  readonly hosts: HostRules
}

export type HostVerdict =
  | { readonly kind: 'deny'; readonly reason: string }
  | { readonly kind: 'splice' }
  | { readonly kind: 'intercept'; readonly host: RuledHost }

export function decideHost(policy: HostPolicy, authority: Authority): HostVerdict {
  const patterns = [...patternsFor(authority)]
  const isOn = (list: readonly string[]) => patterns.some((pattern) => list.includes(pattern))
  if (isOn(policy.deny)) return { kind: 'deny', reason: 'the policy denies this host' }
  const host = findHostRules(policy.hosts, authority)
  if (host === undefined && policy.default === 'deny' && !isOn(policy.allow)) {
    return { kind: 'deny', reason: 'no rule is for this host, and the policy denies the rest' }
  }
  return host === undefined || isOn(policy.pinned) ? { kind: 'splice' } : { kind: 'intercept', host }
}
