// The adapter for Bun: bun-connection.ts has the clients' side, bun-gateway.ts the gateway's. What is small or rare goes the
// same way as on Node.

import { listen } from './bun-connection.js'
import { connect } from './bun-dial.js'
import { BunGatewayDialer } from './bun-gateway.js'
import { download } from './download.js'
import { NodeTrust, openConnection } from './node-dial.js'
import type { Runtime } from './runtime.js'

/** The runtime adapter for Bun. */
export const bunRuntime: Runtime = {
  listen,
  connect,
  createTrust: (certificates) => new NodeTrust(certificates),
  createGatewayDialer: (endpoint) => new BunGatewayDialer(endpoint),
  download: (url, route, limits) => download(url, openConnection(url, route), limits),
}
