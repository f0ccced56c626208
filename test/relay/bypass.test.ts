// Targets of NO_PROXY go past the gateway: directly, or through the container's own egress proxy. No other target ever does.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { connectHead } from '../support/connect-vectors.js'
import { startScriptedProxy, tunnelBehind } from '../support/egress-proxy.js'
import { assertRefusal } from '../support/refusal.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { NO_PROXY, startEcho } from './bypass-target.js'
import { type RelayFixture, startFixture } from './fixture.js'

describeOnEachRuntime('targets of NO_PROXY', (runtime) => {
  let fixture: RelayFixture
  let echo: Awaited<ReturnType<typeof startEcho>>

  before(async () => {
    echo = await startEcho('127.0.77.1')
    fixture = await startFixture(runtime, { bypass: { noProxy: NO_PROXY } })
  })
  after(async () => {
    await fixture.end()
    echo.server.close()
  })

  test('are reached directly, with what came behind the head, and the gateway hears nothing', async () => {
    const { upgrades } = fixture.gateway
    const client = await fixture.connect()
    client.write(Buffer.concat([Buffer.from(connectHead(echo.authority)), Buffer.from('early')]))
    await client.takeOpening()
    assert.equal((await client.take(5)).toString(), 'early')
    client.write('later')
    assert.equal((await client.take(5)).toString(), 'later')
    client.endWriting()
    assert.equal(await client.ended, 'fin')
    assert.equal(fixture.gateway.upgrades, upgrades)
  })

  test('are counted apart from those of the gateway', async () => {
    const before = await fixture.relay.stats()
    const client = await fixture.connect()
    client.write(connectHead(echo.authority))
    await client.takeOpening()
    client.write('12345')
    await client.take(5)
    client.endWriting()
    await client.ended
    const { tunnels, bytesUp, bytesDown, bypassed } = await fixture.relay.stats()
    assert.equal(bypassed.established, before.bypassed.established + 1)
    assert.equal(bypassed.bytesUp, before.bypassed.bytesUp + 5)
    assert.deepEqual(
      [tunnels.established, bytesUp, bytesDown],
      [before.tunnels.established, before.bytesUp, before.bytesDown],
    )
  })

  test('that nobody answers for get 502 target-unreachable', async () => {
    const { server, authority } = await startEcho('127.0.77.2')
    server.close()
    await once(server, 'close')
    const client = await fixture.connect()
    client.write(connectHead(authority))
    assertRefusal(await client.takeOnlyAnswer(), 502, 'target-unreachable')
  })

  test('that reset the connection reset the client', async () => {
    const sockets: Socket[] = []
    const server = createServer((socket) => sockets.push(socket)).listen(0, '127.0.77.3')
    await once(server, 'listening')
    const client = await fixture.connect()
    client.write(connectHead(`127.0.77.3:${(server.address() as AddressInfo).port}`))
    await client.takeOpening()
    client.write('x')
    while (sockets[0] === undefined || sockets[0].bytesRead === 0) await new Promise((resolve) => setImmediate(resolve))
    sockets[0].resetAndDestroy()
    assert.equal(await client.ended, 'reset')
    server.close()
  })

  test('are let go when the client is reset', async () => {
    const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.77.4')
    await once(server, 'listening')
    const accepted = once(server, 'connection')
    const client = await fixture.connect()
    client.write(connectHead(`127.0.77.4:${(server.address() as AddressInfo).port}`))
    await client.takeOpening()
    const [socket] = (await accepted) as [Socket]
    const closed = new Promise((resolve) => socket.on('error', () => {}).once('close', resolve))
    socket.resume().once('end', () => socket.end())
    client.reset()
    await closed
    server.close()
  })

  for (const host of ['127.0.0.1', 'localhost', 'sub.localhost']) {
    test(`the relay itself is none: ${host} on its port gets 502 proxy-loop`, async () => {
      const client = await fixture.connect()
      client.write(connectHead(`${host}:${fixture.relay.port}`))
      assertRefusal(await client.takeOnlyAnswer(), 502, 'proxy-loop')
    })
  }

  for (const host of ['127.0.78.1', 'localhost.example', 'h.example', '[::1]']) {
    test(`${host} is not one: it goes to the gateway`, async () => {
      const { client, tunnel } = await fixture.open(`${host}:443`)
      assert.match(tunnel.head, /\r\nProxy-Authorization: Basic /)
      client.reset()
      await tunnel.closed
    })
  }
})

describeOnEachRuntime("targets of NO_PROXY behind the container's own proxy", (runtime) => {
  test('go through it with its credential, but for loopback and what the container reaches directly', async () => {
    const echo = await startEcho('127.0.77.1')
    const toEcho = tunnelBehind('HTTP/1.1 200 Connection established\r\n\r\n')
    const proxy = await startScriptedProxy((socket) => toEcho(socket, `CONNECT ${echo.authority} HTTP/1.1`))
    const fixture = await startFixture(runtime, {
      bypass: {
        noProxy: 'internal.example,direct.example,127.0.77.0/24',
        egress: `http://us%40er:p%3Aw@127.0.0.1:${proxy.port}`,
        egressNoProxy: 'direct.example',
      },
    })
    try {
      const client = await fixture.connect()
      client.write(connectHead('internal.example:443'))
      await client.takeOpening()
      client.write('hello')
      assert.equal((await client.take(5)).toString(), 'hello')
      client.reset()
      assert.match(proxy.heads[0] ?? '', /^CONNECT internal\.example:443 HTTP\/1\.1\r\n/)
      assert.match(
        proxy.heads[0] ?? '',
        new RegExp(`Proxy-Authorization: Basic ${Buffer.from('us@er:p:w').toString('base64')}\r\n`),
      )
      const local = await fixture.connect()
      local.write(connectHead(echo.authority))
      await local.takeOpening()
      local.reset()
      const direct = await fixture.connect()
      direct.write(connectHead('direct.example:443'))
      assertRefusal(await direct.takeOnlyAnswer(), 502, 'target-dns-failed')
      assert.equal(proxy.heads.length, 1)
    } finally {
      await fixture.end()
      await proxy.close()
      echo.server.close()
    }
  })
})
