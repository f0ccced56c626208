// What the suites of the relay share: a gateway, a relay on the runtime under test, and clients, all ended together.

import assert from 'node:assert/strict'
import type { StartRelayOptions } from '#src/index.js'
import { connectHead } from '../support/connect-vectors.js'
import { connectRaw, type RawClient } from '../support/raw-client.js'
import { type RelayProcess, type RelayProcessOptions, startRelayProcess } from '../support/relay-process.js'
import type { TestRuntime } from '../support/runtimes.js'
import { threadMode } from '../support/thread-mode.js'
import { type GatewayTunnel, startWireGateway, type WireGateway } from '../support/wire-gateway.js'

export const TOKEN = 'tok_0123456789abcdef'
export const SESSION = 'session-1'

/** A client and the gateway's end of its tunnel. */
export interface OpenTunnel {
  readonly client: RawClient
  readonly tunnel: GatewayTunnel
}

/** A gateway and a relay that uses it. */
export class RelayFixture {
  readonly gateway: WireGateway
  readonly relay: RelayProcess
  readonly #clients = new Set<RawClient>()

  constructor(gateway: WireGateway, relay: RelayProcess) {
    this.gateway = gateway
    this.relay = relay
  }

  async connect(): Promise<RawClient> {
    const client = await connectRaw(this.relay.port)
    this.#clients.add(client)
    client.socket.once('close', () => this.#clients.delete(client))
    return client
  }

  /** A client whose CONNECT has reached the gateway, which has not answered. */
  async dial(target = 'h.example:443'): Promise<OpenTunnel> {
    const client = await this.connect()
    client.write(connectHead(target))
    const refused = client.ended.then((end): never =>
      assert.fail(`${target} was refused: ${client.received} bytes, ${end}`),
    )
    const tunnel = await Promise.race([this.gateway.nextTunnel(target), refused])
    return { client, tunnel }
  }

  /** A tunnel that is open. */
  async open(target?: string): Promise<OpenTunnel> {
    const both = await this.dial(target)
    both.tunnel.open()
    await both.client.takeOpening()
    return both
  }

  /** Installs a script at the gateway: tunnels to `echo.example` open at once and send everything back. */
  serveEcho(): void {
    this.gateway.scripts.set('echo.example', (tunnel) => {
      tunnel.open()
      return tunnel.echo()
    })
  }

  /** A tunnel that stays open beside what a test does. `check` fails when it is not alive and exact any more. */
  async openBystander(): Promise<{ check(): Promise<void> }> {
    this.serveEcho()
    const client = await this.connect()
    client.write(connectHead('echo.example:443'))
    await client.takeOpening()
    let round = 0
    return {
      async check() {
        const bytes = Buffer.alloc(3_000, ++round)
        client.write(bytes)
        assert.deepEqual(await client.take(bytes.length), bytes)
      },
    }
  }

  /** Ends everything; fails when something went wrong in the background. */
  async end(): Promise<void> {
    for (const client of this.#clients) client.reset()
    await this.relay.stop()
    await this.gateway.close()
  }
}

/** Options for a relay that uses `gateway`. */
export function relayOptions(gateway: Pick<WireGateway, 'url' | 'rootPem'>, more: Partial<StartRelayOptions> = {}) {
  return {
    tunnelUrl: gateway.url,
    trustedCertificates: gateway.rootPem,
    sessionId: SESSION,
    ...threadMode,
    ...more,
    // Most suites count what reaches the gateway; warm.long.test.ts is about those that come unasked.
    limits: { maxWarmTunnels: 0, ...more.limits },
    token: TOKEN,
  }
}

export async function startFixture(
  runtime: TestRuntime,
  more: Partial<StartRelayOptions> = {},
  processOptions: RelayProcessOptions = {},
): Promise<RelayFixture> {
  const gateway = await startWireGateway()
  try {
    return new RelayFixture(gateway, await startRelayProcess(runtime, relayOptions(gateway, more), processOptions))
  } catch (error) {
    await gateway.close()
    throw error
  }
}

/** Runs `work` for 0 to `count` - 1, `width` at a time. */
export async function inParallel(count: number, width: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) await work(index)
  }
  await Promise.all(Array.from({ length: Math.min(width, count) }, worker))
}
