// What a session may do: which hosts, with which rules, how much. The top level of the config is the policy of every
// session; a named policy adds to it for the sessions that it is given to.

import type { HostPolicy } from './host-policy.js'

/** How much one session may use, in each gateway process. */
export interface SessionLimits {
  /** Tunnels at once; undefined is no limit. */
  readonly tunnels: number | undefined
  /** Intercepted requests and untouched tunnels a minute; undefined is no limit. */
  readonly requestsPerMinute: number | undefined
}

/** What holds for a session. */
export interface Policy extends HostPolicy {
  readonly limits: SessionLimits
}

/** What a named policy says; what it does not say is as at the top level. */
export type PolicyAddition = Partial<Omit<Policy, 'limits'>> & { readonly limits?: Partial<SessionLimits> }

/** `addition` before `base`: its rules are looked at first, its lists are added, its default and its limits win. */
export function extendPolicy(base: Policy, addition: PolicyAddition): Policy {
  const hosts = new Map(base.hosts)
  for (const [pattern, rules] of addition.hosts ?? []) hosts.set(pattern, [...rules, ...(hosts.get(pattern) ?? [])])
  return {
    default: addition.default ?? base.default,
    allow: [...(addition.allow ?? []), ...base.allow],
    deny: [...(addition.deny ?? []), ...base.deny],
    pinned: [...(addition.pinned ?? []), ...base.pinned],
    hosts,
    limits: {
      tunnels: addition.limits?.tunnels ?? base.limits.tunnels,
      requestsPerMinute: addition.limits?.requestsPerMinute ?? base.limits.requestsPerMinute,
    },
  }
}
