// WebSockets that are open before they are needed: how many, how long, and what happens when the gateway does not want them.

import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { RelayLimits } from '#src/index.js'
import { connectHead } from '../support/connect-vectors.js'
import { assertRefusal } from '../support/refusal.js'
import { describeOnEachRuntime, IS_RELAY_LARGE } from '../support/runtimes.js'
import type { GatewayTunnel } from '../support/wire-gateway.js'
import { inParallel, type RelayFixture, startFixture } from './fixture.js'

describeOnEachRuntime('warm tunnels', (runtime) => {
  let fixture: RelayFixture
  afterEach(() => fixture.end())

  async function start(limits: Partial<RelayLimits> = {}): Promise<RelayFixture> {
    fixture = await startFixture(runtime, { limits: { maxWarmTunnels: 8, ...limits } })
    return fixture
  }

  /** Resolves when so many are open and not in use. */
  async function ready(count: number): Promise<void> {
    await fixture.relay.warm(({ ready }) => ready === count)
  }

  async function echo(target = 'h.example:443'): Promise<void> {
    const { client, tunnel } = await fixture.open(target)
    client.write('up')
    assert.equal((await tunnel.take(2)).toString(), 'up')
    tunnel.send('down')
    assert.equal((await client.take(4)).toString(), 'down')
    tunnel.close(1000)
    assert.equal(await client.ended, 'fin')
    client.endWriting()
  }

  test('one is there before anybody asked, and carries the first tunnel', async () => {
    const { relay, gateway } = await start()
    await ready(1)
    assert.equal(gateway.upgrades, 1)
    await echo()
    const { warm, tunnels } = await relay.stats()
    assert.deepEqual([warm.used, warm.missed, warm.lost, tunnels.established], [1, 0, 0, 1])
    await ready(1)
    assert.equal(gateway.upgrades, 2)
  })

  test('the head over a warm one is the same as over a new one', async () => {
    await start()
    await ready(1)
    const warm = await fixture.open('same.example:443')
    fixture.gateway.onUpgrade = undefined
    const [first, second] = await Promise.all([fixture.open('same.example:443'), fixture.open('same.example:443')])
    for (const { tunnel } of [first, second]) assert.equal(tunnel.head, warm.tunnel.head)
    for (const { client } of [warm, first, second]) client.reset()
  })

  test('there are more after a burst, and never more than the limit', async () => {
    await start({ maxWarmTunnels: 4 })
    await ready(1)
    fixture.serveEcho()
    await inParallel(20, 20, async () => {
      const client = await fixture.connect()
      client.write(connectHead('echo.example:443'))
      await client.takeOpening()
      client.reset()
    })
    await ready(4)
  })

  test('none with maxWarmTunnels 0', async () => {
    const { relay, gateway } = await start({ maxWarmTunnels: 0 })
    await echo()
    assert.equal(gateway.upgrades, 1)
    assert.deepEqual((await relay.stats()).warm, { ready: 0, used: 0, missed: 0, lost: 0, isResting: false })
  })

  test('one that is lost when its head comes is replaced by a new one, and the client does not notice', async () => {
    await start()
    await ready(1)
    const openings: GatewayTunnel[] = []
    fixture.gateway.onOpen = (tunnel) => openings.push(tunnel)
    fixture.gateway.scripts.set('lost.example', (tunnel) => {
      // The warm one was open before the hook was there.
      if (!openings.includes(tunnel)) tunnel.reset()
      else tunnel.open()
    })
    const client = await fixture.connect()
    client.write(connectHead('lost.example:443'))
    await client.takeOpening()
    client.reset()
    assert.equal((await fixture.relay.stats()).warm.used, 1)
  })

  test('one that has waited for too long (408) is replaced by a new one; a new one that says so is not', async () => {
    await start()
    await ready(1)
    let heads = 0
    const refusal = 'HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n'
    fixture.gateway.scripts.set('late.example', (tunnel) => {
      if (heads++ === 0) tunnel.send(refusal)
      else tunnel.open()
    })
    const client = await fixture.connect()
    client.write(connectHead('late.example:443'))
    await client.takeOpening()
    client.reset()
    fixture.gateway.scripts.set('late.example', (tunnel) => {
      tunnel.send(refusal)
      tunnel.close(1000)
    })
    const refused = await fixture.connect()
    refused.write(connectHead('late.example:443'))
    assert.equal((await refused.takeOnlyAnswer()).status, 408)
  })

  test('one that is lost twice is a refusal', async () => {
    await start()
    await ready(1)
    fixture.gateway.scripts.set('lost.example', (tunnel) => tunnel.fin())
    const client = await fixture.connect()
    client.write(connectHead('lost.example:443'))
    assertRefusal(await client.takeOnlyAnswer(), 502, 'gateway-closed')
  })

  test('one that is lost is not tried again when bytes of the client went with the head', async () => {
    await start()
    await ready(1)
    fixture.gateway.scripts.set('lost.example', (tunnel) => tunnel.fin())
    const client = await fixture.connect()
    client.write(Buffer.concat([Buffer.from(connectHead('lost.example:443')), Buffer.from('early')]))
    assertRefusal(await client.takeOnlyAnswer(), 502, 'gateway-closed')
    await ready(1)
    // The warm one, the one that took its place; none for the tunnel.
    assert.equal(fixture.gateway.upgrades, 2)
  })

  const connects = IS_RELAY_LARGE ? 500 : 60
  test(`a gateway that closes unused ones after a moment: 0 failures in ${connects} CONNECTs, and it is left alone`, async () => {
    await start()
    fixture.serveEcho()
    /** The CONNECT that waits for its answer. */
    let waiting: number | undefined
    fixture.gateway.onOpen = (tunnel) => {
      const openedFor = waiting
      const look = setInterval(() => {
        // One that was dialled for a CONNECT gets its head, however long that takes on a busy machine.
        if (tunnel.received === 0 && openedFor !== undefined && openedFor === waiting) return
        clearInterval(look)
        if (tunnel.received === 0) tunnel.close(1001)
      }, 100)
    }
    for (let index = 0; index < connects; index++) {
      const client = await fixture.connect()
      waiting = index
      client.write(connectHead('echo.example:443'))
      await client.takeOpening()
      waiting = undefined
      client.write('still')
      assert.equal((await client.take(5)).toString(), 'still')
      client.reset()
    }
    await fixture.relay.warm(({ isResting, ready }) => isResting && ready === 0)
    const { upgrades } = fixture.gateway
    for (let index = 0; index < 3; index++) await echo()
    assert.equal(fixture.gateway.upgrades, upgrades + 3)
  })

  test('a gateway that cannot be reached is tried again seldom', async () => {
    await start()
    await ready(1)
    const attempts: number[] = []
    const tried = new Promise<void>((resolve) => {
      fixture.gateway.onUpgrade = ({ refuse }) => {
        if (attempts.push(performance.now()) === 3) resolve()
        refuse(401)
      }
    })
    const { client } = await fixture.open()
    client.reset()
    await tried
    const [first = 0, second = 0, third = 0] = attempts
    assert.ok(second - first >= 1_000 && third - second >= 2_000, attempts.join())
  })

  test('a gateway that is full is left alone for its Retry-After, which the clients are told', async () => {
    await start()
    await ready(1)
    fixture.serveEcho()
    const attempts: number[] = []
    fixture.gateway.onUpgrade = ({ accept, refuse }) => {
      if (attempts.push(performance.now()) > 1) accept()
      else refuse(503, 'Retry-After: 3')
    }
    // Takes the warm one; what is to take its place is refused.
    const { client } = await fixture.open()
    await fixture.relay.warm(({ isResting }) => isResting)
    const answers: string[] = []
    while (!answers.at(-1)?.startsWith('HTTP/1.1 200 ')) {
      const other = await fixture.connect()
      other.write(connectHead('echo.example:443'))
      answers.push(await other.takeHead())
      other.reset()
      await delay(20)
    }
    const refusals = answers.slice(0, -1)
    assert.ok(refusals.length > 0)
    for (const refusal of refusals) assert.match(refusal, /^HTTP\/1\.1 503 (?:.|\r\n)+\r\nRetry-After: [123]\r\n/)
    const [first = 0, second = 0] = attempts
    assert.ok(second - first >= 2_900, attempts.join())
    client.reset()
  })

  test('one whose gateway has gone silent is dropped, and another takes its place', async () => {
    await start({ pingIntervalMs: 500, pongTimeoutMs: 2_000 })
    await ready(1)
    const replaced = new Promise<void>((resolve) => {
      fixture.gateway.onOpen = (silent) => {
        // Pongs go out no more: nothing is read.
        silent.pause()
        fixture.gateway.onOpen = () => resolve()
      }
    })
    await echo()
    await replaced
    await ready(1)
    await echo()
  })

  test('close() lets them go, and no descriptor is left', async () => {
    const { relay } = await start()
    await ready(1)
    assert.equal(await relay.close(), relay.initialDescriptors)
  })
})
