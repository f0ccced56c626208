// What a session may do: which hosts, with which rules, how much. The top level of the config is the policy of every
// session; a named policy adds to it for the sessions that it is given to.

import type { HostPolicy } from './host-policy.js'

/** How much one session may use, in each gateway process. */
export interface SessionLimits {
  /** Tunnels at once. */
  readonly tunnels: number
  /** Intercepted requests at once, in all its tunnels; an open WebSocket is one. */
  readonly concurrentRequests: number
  /** Intercepted requests and untouched tunnels a minute; undefined is no limit. */
  readonly requestsPerMinute: number | undefined
}

/** What a session may use of which the config says nothing: no honest one comes near. */
export const DEFAULT_SESSION_LIMITS: SessionLimits = {
  /** As many as a relay has by default. A gateway has room for twice that, so that one session never fills it. */
  tunnels: 4_096,
  /** Ten connections of HTTP/2 that are full. For each 64 KiB of a body may be kept: 64 MiB together. */
  concurrentRequests: 1_024,
  requestsPerMinute: undefined,
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
    limits: { ...base.limits, ...addition.limits },
  }
}
