// The relay that requests go through: one of the doctor's own, or the one that runs already and has the token.

import type { RelayStatistics } from '../relay/monitor.js'
import { startRelayOn } from '../relay/relay.js'
import { runtime } from '../runtime/select.js'
import { readContainerProxy } from '../system/egress.js'
import { routeTo } from './certificates.js'
import { needed } from './check.js'
import type { Ground } from './ground.js'
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

/** A relay as the start makes it; nothing is opened before it is needed, so that each failure is of this moment. */
export async function startOwnRelay(ground: Ground): Promise<ExaminedRelay> {
  const { tunnelUrl, sessionId } = needed(ground.settings, 'settings')
  const token = needed(ground.token, 'token')
  const route = routeTo(needed(ground.address, 'gateway'))
  const noProxy = needed(ground.noProxy, 'no-proxy')
  const { egress, noProxy: egressNoProxy } = readContainerProxy(ground.container)
  const relay = await startRelayOn(runtime, route.trust, {
    tunnelUrl,
    token,
    sessionId,
    bypass: { noProxy, egressNoProxy, ...(egress === undefined ? {} : { egress }) },
    ...(route.egress === undefined ? {} : { egress: route.egress }),
    limits: { maxWarmTunnels: 0 },
  })
  return {
    port: relay.port,
    proxyUrl: relay.proxyUrl,
    stats: async () => relay.stats(),
    close: () => relay.close(0),
  }
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
