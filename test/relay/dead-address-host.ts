// In a network of its own, where `dead.test` has a dead address before a living one, `two.test` two that live, and `late.test` one
// that listens only after the first connection: dials each in the three ways of a relay, and says how long each took and how
// often each address was connected to.

import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { DEFAULT_RELAY_LIMITS } from '#src/relay/limits.js'
import type { GatewayHandler, Route } from '#src/runtime/runtime.js'
import { runtime } from '#src/runtime/select.js'

const [FIRST, SECOND, PORT] = ['192.0.2.2', '192.0.2.3', 4_430]
const ROUNDS = 3

const connections: Record<string, number> = { [FIRST]: 0, [SECOND]: 0 }

/** A gateway that refuses, and a proxy that does; a target has been reached when it is connected to. */
async function listen(host: string): Promise<Server> {
  const server = createServer((socket) => {
    connections[host] = (connections[host] ?? 0) + 1
    socket.on('error', () => {})
    socket.once('data', () => socket.end('HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n'))
  })
  server.listen(PORT, host)
  await once(server, 'listening')
  return server
}

const trust = runtime.createTrust(undefined)
const direct: Route = { trust, egress: undefined, egressTimeoutMs: 30_000 }

function reachGateway(name: string): Promise<unknown> {
  const dialer = runtime.createGatewayDialer({ ...DEFAULT_RELAY_LIMITS, ...direct })
  return new Promise((gatewayOnFailure) => {
    const handler = { gatewayOnFailure } as GatewayHandler
    dialer.dial(new URL(`ws://${name}:${PORT}/`), {}, handler)
  })
}

const connect = (host: string, route: Route) =>
  runtime.connect({ kind: 'name', host, port: PORT }, route, 65_536, new AbortController().signal)

const ways: Record<string, (name: string) => Promise<unknown>> = {
  gateway: reachGateway,
  target: async (name) => (await connect(name, direct)).close(),
  egress: async (name) => {
    const egress = { url: new URL(`http://${name}:${PORT}`), authorization: undefined }
    await connect('target.example', { ...direct, egress }).catch(() => {})
  },
}

const said: Record<string, { ms: number[]; two: number; late: number }> = {}
const living = await listen(SECOND)
for (const [way, dial] of Object.entries(ways)) {
  const ms: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now()
    await dial('dead.test')
    ms.push(performance.now() - start)
  }
  // The first address refuses, so the second answers; from then on both would.
  await dial('late.test')
  const first = await listen(FIRST)
  const before = connections[FIRST] ?? 0
  await dial('late.test')
  const late = (connections[FIRST] ?? 0) - before
  const others = connections[SECOND] ?? 0
  for (let round = 0; round < ROUNDS; round++) await dial('two.test')
  said[way] = { ms, two: (connections[SECOND] ?? 0) - others, late }
  first.close()
}
living.close()
process.stdout.write(JSON.stringify(said))
process.exit()
