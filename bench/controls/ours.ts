// The relay of this package, as a program gets it from startRelay().

import { createLogger, startRelay } from '#src/index.js'
import type { RelaySettings } from '../processes/relay-host.js'

export async function start({ gatewayPort, trustedCertificates }: RelaySettings): Promise<number> {
  const relay = await startRelay({
    tunnelUrl: `wss://127.0.0.1:${gatewayPort}/upstreamproxy/ws`,
    token: 'token-of-the-bench',
    trustedCertificates,
    // More than by default, for 5,000 idle ones.
    limits: { maxTunnels: 8_192 },
    logger: createLogger('warn'),
  })
  return relay.port
}
