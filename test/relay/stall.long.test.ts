// Sides that do not read: what waits for them is bounded, nothing of it is lost, and nobody else waits.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { deterministicBytes, digestOf } from '../support/deterministic-bytes.js'
import { describeOnEachRuntime, IS_LARGE, IS_RELAY_LARGE } from '../support/runtimes.js'
import { type RelayFixture, startFixture } from './fixture.js'

const MIB = 1024 * 1024
const STALL_MS = IS_LARGE ? 30_000 : IS_RELAY_LARGE ? 10_000 : 2_000
/** Tunnels that stall at once, and how much each of them sends. */
const STALLED_TUNNELS = 4
const STALL_BYTES = 48 * MIB

describeOnEachRuntime('stall', (runtime) => {
  let fixture: RelayFixture
  const growthLimit = STALLED_TUNNELS * (runtime.kind === 'bun' ? 16 : 8) * MIB
  before(async () => {
    fixture = await startFixture(runtime)
    fixture.serveEcho()
  })
  after(() => fixture.end())

  /** The tunnels that will stall, one that must not wait for them, and the relay's memory until then. */
  async function openAll() {
    const tunnels = await Promise.all(
      Array.from({ length: STALLED_TUNNELS }, (_, index) => fixture.open(`h.example:${1_000 + index}`)),
    )
    const bystander = await fixture.openBystander()
    return { tunnels, bystander, base: await fixture.relay.memory() }
  }

  /** How far the relay's memory rises above `base` while everything stands still, once all that send are held back. */
  async function growthWhileStalled(base: number, isHeldBack: () => boolean): Promise<number> {
    const end = performance.now() + STALL_MS
    let highest = 0
    while (performance.now() < end || !isHeldBack()) {
      highest = Math.max(highest, await fixture.relay.memory())
      await wait(50)
    }
    return highest - base
  }

  test(`a client that reads nothing for ${STALL_MS} ms costs bounded memory and loses nothing`, async () => {
    const warm = await fixture.open()
    const warmed = warm.client.digest(STALL_BYTES)
    await warm.tunnel.sendAll(deterministicBytes(STALL_BYTES))
    await warmed
    warm.client.reset()
    const { tunnels, bystander, base } = await openAll()
    for (const { client } of tunnels) client.socket.pause()
    const sent = tunnels.map(async ({ tunnel }) => {
      await tunnel.sendAll(deterministicBytes(STALL_BYTES))
      tunnel.close(1000)
    })
    const growth = await growthWhileStalled(base, () => tunnels.every(({ tunnel }) => tunnel.socket.bufferedAmount > 0))
    await bystander.check()
    const received = tunnels.map(({ client }) => client.digest())
    for (const { client } of tunnels) client.socket.resume()
    for (const digest of received) assert.deepEqual(await digest, digestOf(STALL_BYTES))
    await Promise.all(sent)
    for (const { client } of tunnels) {
      assert.equal(await client.ended, 'fin')
      client.endWriting()
    }
    assert.ok(growth <= growthLimit, `grew by ${(growth / MIB).toFixed(1)} MiB`)
  })

  test(`a gateway that reads nothing for ${STALL_MS} ms costs bounded memory and loses nothing`, async () => {
    const warm = await fixture.open()
    const warmed = warm.tunnel.digest(STALL_BYTES)
    await warm.client.writeAll(deterministicBytes(STALL_BYTES))
    await warmed
    warm.client.reset()
    const { tunnels, bystander, base } = await openAll()
    for (const { tunnel } of tunnels) tunnel.pause()
    const sent = tunnels.map(({ client }) => client.writeAll(deterministicBytes(STALL_BYTES)))
    const growth = await growthWhileStalled(base, () => tunnels.every(({ client }) => client.socket.writableLength > 0))
    await bystander.check()
    const received = tunnels.map(({ tunnel }) => tunnel.digest(STALL_BYTES))
    for (const { tunnel } of tunnels) tunnel.resume()
    for (const digest of received) assert.deepEqual(await digest, digestOf(STALL_BYTES))
    await Promise.all(sent)
    for (const { client } of tunnels) client.reset()
    await Promise.all(tunnels.map(({ tunnel }) => tunnel.closed))
    assert.ok(growth <= growthLimit, `grew by ${(growth / MIB).toFixed(1)} MiB`)
  })

  test('a relay that is stopped for a moment goes on where it was', async () => {
    const { client, tunnel } = await fixture.open()
    const received = client.digest()
    const sent = tunnel.sendAll(deterministicBytes(16 * MIB)).then(() => tunnel.close(1000))
    await client.reached(MIB)
    fixture.relay.child.kill('SIGSTOP')
    await wait(300)
    fixture.relay.child.kill('SIGCONT')
    assert.deepEqual(await received, digestOf(16 * MIB))
    await sent
    client.endWriting()
  })
})
