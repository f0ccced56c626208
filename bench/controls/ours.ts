// The relay of this package, as a program gets it from startRelay().

import { createLogger, type StartRelayOptions, startRelay } from '#src/index.js'
import type { RelaySettings } from '../processes/relay-host.js'

export function start(settings: RelaySettings): Promise<number> {
  return startWith(settings, {})
}

export async function startWith(settings: RelaySettings, options: Partial<StartRelayOptions>): Promise<number> {
  const relay = await startRelay({
    tunnelUrl: `wss://127.0.0.1:${settings.gatewayPort}/upstreamproxy/ws`,
    token: 'token-of-the-bench',
    trustedCertificates: settings.trustedCertificates,
    logger: createLogger('warn'),
    ...options,
    // More than by default, for 5,000 idle ones.
    limits: { maxTunnels: 8_192, ...options.limits },
  })
  return relay.port
}
