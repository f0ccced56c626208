// The adapter for Node: node:net towards the clients; node-gateway.ts has the gateway's side.

import { type AddressInfo, createServer, type Server } from 'node:net'
import { systemCode, UpstreamProxyError } from '../errors.js'
import { type Authority, formatAuthority } from '../protocol/authority.js'
import { download } from './download.js'
import { targetFailed } from './failures.js'
import { NodeConnection } from './node-connection.js'
import { connectPlain, NodeTrust, openConnection } from './node-dial.js'
import { NodeGatewayDialer } from './node-gateway.js'
import type { Connection, Listener, Route, Runtime } from './runtime.js'

/** The runtime adapter for Node. */
export const nodeRuntime: Runtime = {
  listen,
  connect,
  createTrust: (certificates) => new NodeTrust(certificates),
  createGatewayDialer: (endpoint) => new NodeGatewayDialer(endpoint),
  download: (url, route, limits) => download(url, openConnection(url, route), limits),
}

/** The only address that is ever listened on: a name could resolve to one that another process holds. */
const LISTEN_HOST = '127.0.0.1'

function listen(port: number, highWaterMarkBytes: number, accept: (client: Connection) => void): Promise<Listener> {
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) => {
    accept(new NodeConnection(socket, highWaterMarkBytes))
  })
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(new UpstreamProxyError('listen-failed', `cannot listen on ${LISTEN_HOST}:${port} (${systemCode(error)})`))
    })
    // In a worker of node:cluster too the port is this relay's alone.
    server.listen({ host: LISTEN_HOST, port, backlog: 511, exclusive: true }, () => {
      server.removeAllListeners('error')
      // Out of descriptors while accepting: the clients wait in the backlog, the listener stays.
      server.on('error', () => {})
      resolve({ port: (server.address() as AddressInfo).port, close: () => closeServer(server) })
    })
  })
}

async function connect(
  target: Authority,
  route: Route,
  highWaterMarkBytes: number,
  signal: AbortSignal,
): Promise<Connection> {
  const authority = formatAuthority(target)
  try {
    const socket = await connectPlain(authority, route, signal)
    // The reading of connections that are few is left to Node.
    return new NodeConnection(socket, highWaterMarkBytes, false)
  } catch (error) {
    throw error instanceof UpstreamProxyError ? error : targetFailed(authority, systemCode(error))
  }
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (!server.listening) return resolve()
    server.close(() => resolve())
  })
}
