// A server of a test on a free port of loopback, for as long as the test lasts; and a port on which nothing listens.

import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { Scope } from './temp-dir.js'

export interface Listening {
  readonly host: string
  readonly port: number
  /** `host:port` */
  readonly address: string
  /** TCP connections so far, whether or not anything came over them. */
  readonly connections: number
  closeConnections(): void
  /** Closes its connections too; it may be called again. */
  close(): Promise<void>
}

/** Listens on a free port of `host`; the server is closed with `scope`, and does not wait for its clients. */
export async function listen(scope: Scope, server: Server, host = '127.0.0.1'): Promise<Listening> {
  const sockets = new Set<Socket>()
  let connections = 0
  server.on('connection', (socket: Socket) => {
    connections++
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
  })
  server.listen(0, host)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const closeConnections = () => {
    for (const socket of sockets) socket.destroy()
  }
  const close = async () => {
    if (!server.listening) return
    server.close()
    closeConnections()
    await once(server, 'close')
  }
  scope.after(close)
  return {
    host,
    port,
    address: `${host}:${port}`,
    get connections() {
      return connections
    },
    closeConnections,
    close,
  }
}

/** A port that was free just now, for programs that cannot be told to take any. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
