// A relay with warm WebSockets whose flows are dropped without a word, by a forwarder of the process's own or by nftables in the
// network namespace that it was started in; then CONNECTs, with bytes of the client behind each head. Says what came of them.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { connectHead } from '../support/connect-vectors.js'
import { startRelayProcess } from '../support/relay-process.js'
import type { TestRuntime } from '../support/runtimes.js'
import { type GatewayTunnel, startWireGateway, type WireGateway } from '../support/wire-gateway.js'
import { RelayFixture, relayOptions } from './fixture.js'

const WARM_SILENCE_MS = 500
const FIRST_CONNECTS = 3

/** What is on the way between the relay and the gateway. */
interface Network {
  readonly port: number
  /** Drops what comes over the flows that are there, in both directions; later ones pass. */
  drop(): void
  /** What was dropped comes after all; undefined when it cannot. */
  readonly restore?: () => void
  close(): void
}

async function startForwarder(gateway: WireGateway): Promise<Network> {
  const flows = new Set<{ hold(): void; release(): void; destroy(): void }>()
  const server = createServer((near) => {
    const far = connect(gateway.port, '127.0.0.1')
    const held: (() => void)[] = []
    let isHeld = false
    const pass = (act: () => void): void => void (isHeld ? held.push(act) : act())
    const join = (from: Socket, to: Socket): void => {
      from.on('data', (bytes) => pass(() => to.write(bytes)))
      from.on('error', () => {}).on('close', () => pass(() => to.end()))
    }
    join(near, far)
    join(far, near)
    flows.add({
      hold: () => {
        isHeld = true
      },
      release: () => {
        isHeld = false
        for (const act of held.splice(0)) act()
      },
      destroy: () => void (near.destroy() && far.destroy()),
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    drop: () => {
      for (const flow of flows) flow.hold()
    },
    restore: () => {
      for (const flow of flows) flow.release()
    },
    close: () => {
      server.close()
      for (const flow of flows) flow.destroy()
    },
  }
}

function watchNamespace(gateway: WireGateway): Network {
  const ports: number[] = []
  gateway.onConnection = ({ remotePort = 0 }) => {
    ports.push(remotePort)
    return false
  }
  const { port } = gateway
  const drop = (): void => {
    const flows = `{ ${ports.join(', ')} }`
    const input = `table inet gone {
      chain gone {
        type filter hook input priority 0
        tcp dport ${port} tcp sport ${flows} drop
        tcp sport ${port} tcp dport ${flows} drop
      }
    }`
    const { status, stderr } = spawnSync('nft', ['-f', '-'], { input, encoding: 'utf8' })
    assert.equal(status, 0, stderr)
  }
  return { port, drop, close() {} }
}

const [runtimeJson = '', means] = process.argv.slice(2)
const gateway = await startWireGateway()
const network = means === 'nft' ? watchNamespace(gateway) : await startForwarder(gateway)
const options = { limits: { maxWarmTunnels: 8, warmSilenceMs: WARM_SILENCE_MS } }
const url = gateway.url.replace(`:${gateway.port}/`, `:${network.port}/`)
const relay = await startRelayProcess(
  JSON.parse(runtimeJson) as TestRuntime,
  relayOptions({ url, rootPem: gateway.rootPem }, options),
)
const fixture = new RelayFixture(gateway, relay)
const tunnels: GatewayTunnel[] = []
let onTunnel = (): void => {}
gateway.scripts.set('echo.example', async (tunnel) => {
  tunnels.push(tunnel)
  onTunnel()
  tunnel.open()
  const early = tunnel.received - tunnel.head.length
  if (early > 0) tunnel.send(await tunnel.take(early))
  await tunnel.echo()
})

/** Milliseconds from a CONNECT to the first byte that comes back. */
async function echo(port: number): Promise<number> {
  const client = await fixture.connect()
  const start = performance.now()
  client.write(Buffer.concat([Buffer.from(connectHead(`echo.example:${port}`)), Buffer.from('early')]))
  await client.takeOpening()
  assert.equal((await client.take(5)).toString(), 'early')
  const ms = performance.now() - start
  client.reset()
  return ms
}

await Promise.all(Array.from({ length: 6 }, (_, index) => echo(100 + index)))
// One for each that found none, and the first.
await relay.warm(({ ready, missed }) => ready === 1 + missed)
const { warm } = await relay.stats()
network.drop()
await pause(WARM_SILENCE_MS + 200)
const firstMs = await Promise.all(Array.from({ length: FIRST_CONNECTS }, (_, index) => echo(200 + index)))
const nextMs = await echo(300)
const { warm: later } = await relay.stats()

network.restore?.()
const of = (port: number) => tunnels.filter(({ target }) => target === `echo.example:${port}`)
for (let index = 0; index < FIRST_CONNECTS && network.restore !== undefined; index++) {
  while (of(200 + index).length < 2) await new Promise<void>((resolve) => (onTunnel = resolve))
}
await Promise.all(tunnels.map(({ closed }) => closed))
/** For each of the first: over how many tunnels the client's bytes came. */
const carriers = firstMs.map(
  (_, index) => of(200 + index).filter((tunnel) => tunnel.received > tunnel.head.length).length,
)
network.close()
await fixture.end()
process.stdout.write(JSON.stringify({ ready: warm.ready, firstMs, nextMs, lost: later.lost - warm.lost, carriers }))
