// The relay that requests go through: one of the doctor's own (own-relay.ts), or the one that runs already and
// has the token.

import type { RelayStatistics } from '../relay/monitor.js'
import { askStatus, type RunningRelay } from './running-relay.js'

/** A relay with its counters. */
export interface ExaminedRelay {
  readonly port: number
  readonly proxyUrl: string
  /** Rejects when the relay says nothing. */
  stats(): Promise<RelayStatistics>
  /** Ends what the doctor has started; another's relay goes on. */
  close(): Promise<void>
}

/**
 * The relay that runs.
 * @throws {UpstreamProxyError} `status-unavailable` when it is stopped: nobody gets through it
 */
export function useRunningRelay(relay: RunningRelay): ExaminedRelay {
  if (relay.kind === 'silent') throw relay.error
  return {
    port: relay.record.port,
    proxyUrl: relay.record.targets.proxyUrl,
    stats: async () => {
      if (relay.kind !== 'told') throw relay.error
      return (await askStatus(relay.socket)).statistics
    },
    close: async () => {},
  }
}
