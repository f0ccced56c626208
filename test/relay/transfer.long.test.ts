// Bytes through tunnels: all of them, in order, both ways, many tunnels, and past a client's FIN. The sums are taken at
// both ends. CCR_TEST_LARGE=1 runs the numbers that a release is held to.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { connectHead } from '../support/connect-vectors.js'
import { deterministicBytes, digestOf } from '../support/deterministic-bytes.js'
import { describeOnEachRuntime, IS_LARGE, IS_RELAY_LARGE } from '../support/runtimes.js'
import { inParallel, type RelayFixture, startFixture } from './fixture.js'

const MIB = 1024 * 1024
const BULK_BYTES = (IS_LARGE ? 512 : IS_RELAY_LARGE ? 128 : 32) * MIB
const SEQUENTIAL_TUNNELS = IS_RELAY_LARGE ? 2_000 : 200
const HALF_CLOSE_RUNS = IS_RELAY_LARGE ? 20 : 3
const KILLS = IS_RELAY_LARGE ? 100 : 20

describeOnEachRuntime('transfer', (runtime) => {
  let fixture: RelayFixture
  before(async () => {
    fixture = await startFixture(runtime)
    fixture.serveEcho()
  })
  after(() => fixture.end())

  for (const chunkBytes of [1_024, 16_384, 65_536]) {
    test(`${BULK_BYTES / MIB} MiB come down in messages of ${chunkBytes} bytes`, async () => {
      const { client, tunnel } = await fixture.open()
      const received = client.digest()
      await tunnel.sendAll(deterministicBytes(BULK_BYTES), chunkBytes)
      tunnel.close(1000)
      assert.deepEqual(await received, digestOf(BULK_BYTES))
      assert.equal(await client.ended, 'fin')
      client.endWriting()
    })
  }

  test(`${BULK_BYTES / MIB} MiB go up, in messages of at most 32,768 bytes`, async () => {
    const { client, tunnel } = await fixture.open()
    const received = tunnel.digest(BULK_BYTES)
    await client.writeAll(deterministicBytes(BULK_BYTES))
    assert.deepEqual(await received, digestOf(BULK_BYTES))
    assert.ok(Math.max(...tunnel.messageSizes.slice(-50_000)) <= 32_768)
    client.reset()
    await tunnel.closed
  })

  test('both directions at once', async () => {
    const count = BULK_BYTES / 4
    const { client, tunnel } = await fixture.open()
    const [up, down] = await Promise.all([
      tunnel.digest(count),
      client.digest(count),
      client.writeAll(deterministicBytes(count)),
      tunnel.sendAll(deterministicBytes(count)),
    ])
    assert.deepEqual(up, digestOf(count))
    assert.deepEqual(down, digestOf(count))
    client.reset()
    await tunnel.closed
  })

  for (const [count, width] of [
    [200, 200],
    [SEQUENTIAL_TUNNELS, 1],
  ] as const) {
    test(`${count} tunnels, ${width} at a time, without a failure`, async () => {
      await inParallel(count, width, async (index) => {
        const client = await fixture.connect()
        client.write(connectHead('echo.example:443'))
        await client.takeOpening()
        const bytes = Buffer.from(`tunnel ${index} `.repeat(200))
        client.write(bytes)
        assert.deepEqual(await client.take(bytes.length), bytes)
        client.reset()
      })
      await fixture.relay.tunnels(0)
    })
  }

  test(`8,388,608 bytes reach a slow client that half-closed after its upload, ${HALF_CLOSE_RUNS} times`, async () => {
    const expected = digestOf(8_388_608)
    for (let run = 0; run < HALF_CLOSE_RUNS; run++) {
      const { client, tunnel } = await fixture.open()
      const uploaded = tunnel.digest(MIB)
      const received = client.digest()
      client.socket.on('data', () => {
        client.socket.pause()
        wait(1).then(() => client.socket.resume())
      })
      await client.writeAll(deterministicBytes(MIB))
      client.endWriting()
      assert.deepEqual(await uploaded, digestOf(MIB))
      await tunnel.sendAll(deterministicBytes(8_388_608))
      tunnel.close(1000)
      assert.deepEqual(await received, expected, `run ${run}`)
      assert.equal(await client.ended, 'fin')
    }
  })

  test('the whole download reaches a client that keeps sending while the gateway closes', async () => {
    const { client, tunnel } = await fixture.open()
    const received = client.digest()
    const noise = setInterval(() => client.write(Buffer.alloc(10_000)), 1).unref()
    await tunnel.sendAll(deterministicBytes(4 * MIB))
    tunnel.close(1000)
    assert.deepEqual(await received, digestOf(4 * MIB))
    assert.equal(await client.ended, 'fin')
    clearInterval(noise)
    client.endWriting()
  })

  test('an upload with a FIN behind it reaches the gateway whole, also when the FIN comes before the answer', async () => {
    const client = await fixture.connect()
    client.write(connectHead('h.example:443'))
    for (const block of deterministicBytes(512 * 1024)) client.write(block)
    client.endWriting()
    const tunnel = await fixture.gateway.nextTunnel()
    tunnel.open()
    await client.takeOpening()
    assert.deepEqual(await tunnel.digest(512 * 1024), digestOf(512 * 1024))
    tunnel.send('the answer')
    tunnel.close(1000)
    assert.equal((await client.rest()).toString(), 'the answer')
    assert.equal(await client.ended, 'fin')
  })

  test(`killed at ${KILLS} random places: a prefix of what was sent, then a reset`, async () => {
    const bytes = Buffer.concat([...deterministicBytes(2 * MIB)])
    for (let run = 0; run < KILLS; run++) {
      const place = Math.floor(Math.random() * bytes.length)
      const kill = (['reset', 'fin', 'close 1011'] as const)[run % 3]
      const { client, tunnel } = await fixture.open()
      await tunnel.sendAll([bytes.subarray(0, place)])
      if (kill === 'reset') tunnel.reset()
      else if (kill === 'fin') tunnel.fin()
      else tunnel.close(1011)
      const received = await client.rest()
      const what = `${kill} after ${place} bytes, ${received.length} received`
      assert.ok(received.equals(bytes.subarray(0, received.length)) && received.length <= place, what)
      assert.equal(await client.ended, 'reset', what)
    }
    await fixture.relay.tunnels(0)
  })
})

describeOnEachRuntime('TLS sessions', (runtime) => {
  test('all tunnels but the first go on with the session of an earlier one', async () => {
    const fixture = await startFixture(runtime)
    try {
      for (let index = 0; index < 20; index++) {
        const { client, tunnel } = await fixture.open()
        tunnel.send('x')
        await client.take(1)
        tunnel.close(1000)
        client.endWriting()
        await client.ended
      }
      assert.deepEqual([fixture.gateway.handshakes, fixture.gateway.resumedHandshakes], [20, 19])
    } finally {
      await fixture.end()
    }
  })
})
