// A WebSocket origin for tests, over TLS: it echoes, and by path: /close says goodbye, /deny answers 403, /plain 200.

import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import type { HttpsOrigin, SeenRequest } from './https-origin.js'
import type { TestCertificate } from './test-ca.js'

/** Starts an origin on a free port of 127.0.0.1. */
export async function startWebSocketOrigin(certificate: TestCertificate): Promise<HttpsOrigin> {
  const requests: SeenRequest[] = []
  const sockets = new Set<Duplex>()
  let connections = 0
  const webSockets = new WebSocketServer({ noServer: true })
  const server = createServer(certificate)
  server.on('upgrade', (request, socket, head) => {
    requests.push({ method: request.method ?? '', path: request.url ?? '', rawHeaders: request.rawHeaders })
    if (request.url === '/deny') {
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\nConnection: close\r\n\r\ndenied')
      return
    }
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      // In the same packet as the 101: what many servers greet with.
      webSocket.send('welcome')
      webSocket.on('message', (data, isBinary) => webSocket.send(data, { binary: isBinary }))
      if (request.url === '/close') webSocket.close(4321, 'goodbye')
    })
  })
  server.on('connection', (socket) => {
    connections++
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    port,
    address: `127.0.0.1:${port}`,
    requests,
    get connections() {
      return connections
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}
