// How a relay is, as one JSON object: what its status socket answers, `status` prints and `top` redraws. Lists are bounded, and
// nothing in it is secret.

import type { TunnelFacts } from './channels.js'
import type { RelayStatistics } from './monitor.js'

/** The report. */
export interface RelayStatus {
  /** Of this form. */
  readonly version: 1
  readonly state: 'listening' | 'closing'
  readonly pid: number
  readonly port: number
  /** Milliseconds since the relay listens. */
  readonly uptimeMs: number
  /** Whether the gateway was silent when the relay started, and its CA has not come since: clients do not trust it yet. */
  readonly isGatewaySilent: boolean
  readonly statistics: RelayStatistics
  /** Hosts with open tunnels, those with the most first: 1,000 at most. */
  readonly hosts: readonly HostStatus[]
  /** Open tunnels, the oldest first: 1,000 at most. */
  readonly tunnels: readonly TunnelFacts[]
}

/** The open tunnels to one host. */
export interface HostStatus {
  readonly host: string
  readonly open: number
  /** Payload bytes of these tunnels so far. */
  readonly bytesUp: number
  readonly bytesDown: number
  /** Milliseconds since the oldest was accepted. */
  readonly oldestMs: number
}

/** A report of 1,000 tunnels has some 300 KiB, which the relay writes in milliseconds. */
const MAX_ENTRIES = 1_000

/** The report of a relay; `tunnels` are all that are open, the oldest first. */
export function createStatus(
  relay: Pick<RelayStatus, 'state' | 'port' | 'uptimeMs' | 'isGatewaySilent' | 'statistics'>,
  tunnels: readonly TunnelFacts[],
): RelayStatus {
  return {
    version: 1,
    pid: process.pid,
    ...relay,
    hosts: groupByHost(tunnels)
      .sort((one, other) => other.open - one.open)
      .slice(0, MAX_ENTRIES),
    tunnels: tunnels.slice(0, MAX_ENTRIES),
  }
}

function groupByHost(tunnels: readonly TunnelFacts[]): HostStatus[] {
  const hosts = new Map<string, HostStatus>()
  for (const { host, bytesUp, bytesDown, ageMs } of tunnels) {
    if (host === undefined) continue
    const sums = hosts.get(host) ?? { host, open: 0, bytesUp: 0, bytesDown: 0, oldestMs: 0 }
    hosts.set(host, {
      host,
      open: sums.open + 1,
      bytesUp: sums.bytesUp + bytesUp,
      bytesDown: sums.bytesDown + bytesDown,
      oldestMs: Math.max(sums.oldestMs, ageMs),
    })
  }
  return [...hosts.values()]
}
