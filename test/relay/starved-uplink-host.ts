// A relay whose uplink to the gateway is a forwarder of the process's own: one queue for all connections, a megabyte a second. One tunnel
// uploads more than that takes within a ping's time, others rest. Says what came of them.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { startRelayProcess } from '../support/relay-process.js'
import type { TestRuntime } from '../support/runtimes.js'
import { startWireGateway } from '../support/wire-gateway.js'
import { RelayFixture, relayOptions } from './fixture.js'

const MIB = 1024 * 1024
const UPLOAD_BYTES = 12 * MIB
const BYTES_PER_MS = 1_000
/** In the queue, of one connection: four seconds. */
const QUEUED_BYTES = 4 * MIB
const RESTING = 3
/** A gateway that is silent is found within three seconds. */
const LIMITS = { pingIntervalMs: 1_000, pongTimeoutMs: 1_000, maxWarmTunnels: 1 }

/** What is sent to `port` waits for its turn; what comes from there does not. Its own port. */
async function startUplink(port: number): Promise<{ port: number; close(): void }> {
  const queue: { bytes: Buffer; send(bytes: Buffer): void }[] = []
  const sockets = new Set<Socket>()
  let sentAt = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    let budget = Math.floor((now - sentAt) * BYTES_PER_MS)
    sentAt = now
    for (let first = queue[0]; first !== undefined && budget > 0; first = queue[0]) {
      const bytes = first.bytes.subarray(0, budget)
      first.send(bytes)
      budget -= bytes.length
      first.bytes = first.bytes.subarray(bytes.length)
      if (first.bytes.length === 0) queue.shift()
    }
  }, 10)
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1')
    let queued = 0
    near.on('data', (bytes: Buffer) => {
      queued += bytes.length
      if (queued >= QUEUED_BYTES) near.pause()
      const send = (sent: Buffer): void => {
        far.write(sent)
        queued -= sent.length
        if (queued < QUEUED_BYTES) near.resume()
      }
      queue.push({ bytes, send })
    })
    far.on('data', (bytes: Buffer) => near.write(bytes))
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => {}).on('close', () => near.destroy() && far.destroy())
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = (): void => {
    clearInterval(timer)
    server.close()
    for (const socket of sockets) socket.destroy()
  }
  return { port: (server.address() as AddressInfo).port, close }
}

const [runtimeJson = ''] = process.argv.slice(2)
const gateway = await startWireGateway()
const uplink = await startUplink(gateway.port)
const url = gateway.url.replace(`:${gateway.port}/`, `:${uplink.port}/`)
const options = relayOptions({ url, rootPem: gateway.rootPem }, { limits: LIMITS })
const relay = await startRelayProcess(JSON.parse(runtimeJson) as TestRuntime, options)
const fixture = new RelayFixture(gateway, relay)
const names = Array.from({ length: RESTING }, (_, index) => `rests-${index}.example:443`)
const resting = await Promise.all(names.map((name) => fixture.open(name)))
const upload = await fixture.open('upload.example:443')
await relay.warm(({ ready }) => ready === 1)

let longestMs = 0
let pingedAt = performance.now()
resting[0]?.tunnel.socket.on('ping', () => {
  longestMs = Math.max(longestMs, performance.now() - pingedAt)
  pingedAt = performance.now()
})
const uploading = upload.client.writeAll([Buffer.alloc(UPLOAD_BYTES, 0x61)])
const before = upload.tunnel.received
const lost = Promise.race([upload.tunnel.closed, upload.client.ended])
await Promise.race([Promise.all([uploading, upload.tunnel.reached(before + UPLOAD_BYTES)]).catch(() => {}), lost])
const uploaded = upload.tunnel.received - before

const alive = await Promise.all(
  resting.map(({ client, tunnel }) => {
    tunnel.send('down')
    return Promise.race([client.take(4).then(() => true), client.ended.then(() => false)]).catch(() => false)
  }),
)
const { tunnels, warm } = await relay.stats()
await fixture.end()
uplink.close()
const broken = tunnels.broken['tunnel-lost'] ?? 0
process.stdout.write(JSON.stringify({ uploaded, longestMs, alive, broken, warmLost: warm.lost }))
