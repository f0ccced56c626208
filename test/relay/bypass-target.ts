// A target of NO_PROXY, for tests that reach it through the relay.

import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'

/** A network on loopback: what only tools that understand networks reach without the relay. */
export const NO_PROXY = 'localhost,127.0.0.1,127.0.77.0/24'

/** A target that sends everything back, behind a greeting. */
export async function startEcho(host: string): Promise<{ readonly server: Server; readonly authority: string }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {}).pipe(socket)
  }).listen(0, host)
  await once(server, 'listening')
  return { server, authority: `${host}:${(server.address() as AddressInfo).port}` }
}
