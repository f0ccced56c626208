// Each side ends its own direction: the client's FIN reaches the gateway, the gateway's end the client, and the other direction goes
// on. No limit of time is short enough to help.

import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { after, before, test } from 'node:test'
import { connectHead } from '../support/connect-vectors.js'
import { deterministicBytes, digestOf } from '../support/deterministic-bytes.js'
import { listen } from '../support/listening.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { NO_PROXY } from './bypass-target.js'
import { type RelayFixture, startFixture } from './fixture.js'

const MIB = 1_048_576
const NEVER_MS = 600_000

describeOnEachRuntime('an end of one direction', (runtime) => {
  let fixture: RelayFixture
  before(async () => {
    const limits = { lingerMs: NEVER_MS, closeLingerMs: NEVER_MS }
    fixture = await startFixture(runtime, { limits, bypass: { noProxy: NO_PROXY } })
  })
  after(() => fixture.end())

  test("the client's is told after all that it sent, and the download goes on", async () => {
    const { client, tunnel } = await fixture.open()
    const uploaded = tunnel.digest(MIB)
    await client.writeAll(deterministicBytes(MIB))
    await client.endWriting()
    assert.deepEqual(await uploaded, digestOf(MIB))
    await tunnel.ended
    const downloaded = client.digest()
    await tunnel.sendAll(deterministicBytes(4 * MIB))
    tunnel.endSending()
    assert.deepEqual(await downloaded, digestOf(4 * MIB))
    assert.equal(await client.ended, 'fin')
    assert.equal(await tunnel.closed, 1000)
  })

  test("the client's that came before the gateway's answer is told after it", async () => {
    const { client, tunnel } = await fixture.dial()
    client.write('all')
    await client.endWriting()
    tunnel.open()
    await client.takeOpening()
    assert.equal((await tunnel.take(3)).toString(), 'all')
    await tunnel.ended
    tunnel.close(1000)
    assert.equal(await client.ended, 'fin')
  })

  test("the gateway's is a FIN to the client, after all that came, and the upload goes on", async () => {
    const { client, tunnel } = await fixture.open()
    await tunnel.sendAll(deterministicBytes(MIB))
    tunnel.endSending()
    assert.deepEqual(await client.digest(), digestOf(MIB))
    assert.equal(await client.ended, 'fin')
    const uploaded = tunnel.digest(4 * MIB)
    await client.writeAll(deterministicBytes(4 * MIB))
    assert.deepEqual(await uploaded, digestOf(4 * MIB))
    await client.endWriting()
    assert.equal(await tunnel.closed, 1000)
  })

  test("the gateway's in its first message, together with the answer", async () => {
    const { client, tunnel } = await fixture.dial()
    tunnel.open()
    tunnel.endSending()
    await client.takeOpening()
    assert.equal(await client.ended, 'fin')
    client.write('up')
    assert.equal((await tunnel.take(2)).toString(), 'up')
    await client.endWriting()
    assert.equal(await tunnel.closed, 1000)
  })

  test('that of a target past the gateway is a FIN to the client, and the upload goes on', async (t) => {
    const target = createServer({ allowHalfOpen: true })
    const received = new Promise<string>((resolve) => {
      target.on('connection', (socket) => {
        socket.end('bye')
        let text = ''
        socket.setEncoding('latin1').on('data', (bytes) => (text += bytes))
        socket.on('end', () => resolve(text))
      })
    })
    const { address } = await listen(t, target, '127.0.77.9')
    const client = await fixture.connect()
    client.write(connectHead(address))
    await client.takeOpening()
    assert.equal((await client.rest()).toString(), 'bye')
    client.write('up')
    await client.endWriting()
    assert.equal(await received, 'up')
  })

  test('leaves no tunnel, and none is broken', async () => {
    await fixture.relay.tunnels(0)
    assert.deepEqual((await fixture.relay.stats()).tunnels.broken, {})
  })
})
