// A relay of the doctor's own, for where none runs.

import { startRelayOn } from '../relay/relay.js'
import { runtime } from '../runtime/select.js'
import { readContainerProxy } from '../system/egress.js'
import { needed } from './check.js'
import type { ExaminedRelay } from './examined-relay.js'
import type { Ground } from './ground.js'
import { routeTo } from './route.js'

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
