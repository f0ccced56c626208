// As many tunnels at once as a relay is made for, with clients, relay and gateway in three processes: all are alive after a
// rest, and none of them has a timer of its own. In full size as many as the limit of a relay is by default.

import assert from 'node:assert/strict'
import { createHook } from 'node:async_hooks'
import { readFileSync } from 'node:fs'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as rest, setImmediate as turn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createLogger } from '#src/index.js'
import { DEFAULT_RELAY_LIMITS } from '#src/relay/limits.js'
import { startRelayOn } from '#src/relay/relay.js'
import { runtime as ownRuntime } from '#src/runtime/select.js'
import { RunningProcess } from '../support/cli-process.js'
import { connectHead } from '../support/connect-vectors.js'
import { connectRaw, type RawClient } from '../support/raw-client.js'
import { startRelayProcess } from '../support/relay-process.js'
import { describeOnEachRuntime, IS_RELAY_LARGE } from '../support/runtimes.js'
import type { GatewayAddress } from './echo-gateway.js'
import { inParallel, relayOptions } from './fixture.js'

const GATEWAY = fileURLToPath(new URL('./echo-gateway.js', import.meta.url))

const TUNNELS = IS_RELAY_LARGE ? DEFAULT_RELAY_LIMITS.maxTunnels : 300
const REST_MS = IS_RELAY_LARGE ? 20_000 : 1_000
/** The relay has two for a tunnel; the processes have some besides. */
const DESCRIPTORS = TUNNELS * 2 + 200
/** Handshakes at once: a few more than the gateway has time for. */
const WIDTH = 32

/** A gateway in a process of its own; it goes with the test. */
async function startEchoGateway(t: TestContext): Promise<GatewayAddress> {
  const gateway = new RunningProcess(t, process.execPath, [GATEWAY], { env: {} })
  const [line] = await gateway.until(/^.+$/m)
  return JSON.parse(line) as GatewayAddress
}

/** Open tunnels to the gateway that echoes; they go with the test. */
async function openTunnels(t: TestContext, port: number, count: number): Promise<readonly RawClient[]> {
  const clients: RawClient[] = []
  t.after(() => {
    for (const client of clients) client.reset()
  })
  await inParallel(count, WIDTH, async () => {
    const client = await connectRaw(port)
    clients.push(client)
    client.write(connectHead('echo.example:443'))
    await client.takeOpening()
  })
  return clients
}

/** How many descriptors a process may have; processes of Node and Bun take as many by themselves. */
function descriptorLimit(): number {
  const [, limit] = /^Max open files +[0-9]+ +([0-9]+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? []
  return Number(limit ?? 0)
}

const skip =
  descriptorLimit() < DESCRIPTORS && `a process may have ${descriptorLimit()} descriptors, not ${DESCRIPTORS}`

describeOnEachRuntime(`${TUNNELS} tunnels at once`, (runtime) => {
  test(`are all alive after ${REST_MS / 1_000} s`, { skip }, async (t) => {
    const address = await startEchoGateway(t)
    const limits = { maxTunnels: TUNNELS, pingIntervalMs: REST_MS / 4 }
    const relay = await startRelayProcess(runtime, relayOptions(address, { limits }))
    t.after(() => relay.stop())
    const before = await relay.memory()
    const clients = await openTunnels(t, relay.port, TUNNELS)
    await rest(REST_MS)
    assert.equal((await relay.stats()).tunnels.open, TUNNELS)
    t.diagnostic(`${Math.round(((await relay.memory()) - before) / 1_024 / TUNNELS)} KiB for a tunnel`)
    await inParallel(TUNNELS, TUNNELS, async (index) => {
      const message = `this is tunnel ${index}`
      clients[index]?.write(message)
      assert.equal((await clients[index]?.take(message.length))?.toString('latin1'), message)
    })
  })
})

describe('tunnels at rest', { timeout: 1_800_000 }, () => {
  test('share the timers of their relay', async (t) => {
    const { tunnelUrl, trustedCertificates, token } = relayOptions(await startEchoGateway(t))
    const timers = new Set<number>()
    const hook = createHook({
      init: (id, type) => void (type === 'Timeout' && timers.add(id)),
      destroy: (id) => void timers.delete(id),
    }).enable()
    t.after(() => hook.disable())
    const trust = ownRuntime.createTrust(trustedCertificates)
    const options = { tunnelUrl, token, limits: { maxWarmTunnels: 0 }, logger: createLogger('silent') }
    const relay = await startRelayOn(ownRuntime, trust, options)
    t.after(() => relay.close(0))
    const counts: number[] = []
    for (let round = 0; round < 3; round++) {
      await openTunnels(t, relay.port, 20)
      // The hook is told of ends a turn later.
      await turn()
      counts.push(timers.size)
    }
    assert.equal(relay.stats().tunnels.open, 60)
    assert.deepEqual(counts, [counts[0], counts[0], counts[0]])
  })
})
