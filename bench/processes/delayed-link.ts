// A link with a round-trip time: a TCP relay that holds everything back. The system answers a SYN on loopback at once, so the
// round trip of the TCP handshake is made up for here: what a client sends counts as sent when the handshake would have ended.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { serve } from './serve.js'

interface Start {
  readonly gatewayPort: number
  readonly roundTripMs: number
}

/** Copies one direction; `readyAt` is when the first byte may have been sent. */
function delay(from: Socket, to: Socket, delayMs: number, readyAt: number): void {
  const later = (action: () => void): void => {
    const sentAt = Math.max(performance.now(), readyAt)
    setTimeout(action, sentAt + delayMs - performance.now())
  }
  from.on('data', (bytes) => later(() => to.destroyed || to.write(bytes)))
  from.on('end', () => later(() => to.end()))
  from.on('error', () => to.destroy())
}

async function listen(server: Server): Promise<number> {
  server.listen({ host: '127.0.0.1', port: 0, backlog: 1_024 })
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

function listenDelayed(targetPort: number, roundTripMs: number): Promise<number> {
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
    const target = connect({ host: '127.0.0.1', port: targetPort, noDelay: true, allowHalfOpen: true })
    delay(client, target, roundTripMs / 2, performance.now() + roundTripMs)
    delay(target, client, roundTripMs / 2, 0)
  })
  return listen(server)
}

/** Milliseconds of a round trip as it really is, timers and all: the middle one of some. */
async function measureRoundTrip(roundTripMs: number): Promise<number> {
  const echo = createServer({ noDelay: true }, (socket) => socket.pipe(socket))
  const socket = connect({
    host: '127.0.0.1',
    port: await listenDelayed(await listen(echo), roundTripMs),
    noDelay: true,
  })
  const times: number[] = []
  // The first carries the round trip of the handshake.
  for (let index = 0; index < 12; index++) {
    const startedAt = performance.now()
    socket.write('x')
    await once(socket, 'data')
    if (index > 0) times.push(performance.now() - startedAt)
  }
  socket.destroy()
  return times.sort((one, other) => one - other)[5] ?? Number.NaN
}

async function start({ gatewayPort, roundTripMs }: Start): Promise<{ port: number; roundTripMs: number }> {
  const port = await listenDelayed(gatewayPort, roundTripMs)
  return { port, roundTripMs: await measureRoundTrip(roundTripMs) }
}

serve({ start })
