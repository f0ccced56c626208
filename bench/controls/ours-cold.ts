// The relay of this package without warm tunnels: each CONNECT opens its own WebSocket.

import type { RelaySettings } from '../processes/relay-host.js'
import { startWith } from './ours.js'

export function start(settings: RelaySettings): Promise<number> {
  return startWith(settings, { limits: { maxWarmTunnels: 0 } })
}
