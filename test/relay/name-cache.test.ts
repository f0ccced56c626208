// How the addresses of the gateway and of the egress proxy are kept: real sockets to names that a resolver of the test's own
// knows, which counts how often it is asked. With the system's resolver, on each runtime: dead-address.long.test.ts.

import assert from 'node:assert/strict'
import type { LookupAddress } from 'node:dns'
import { once } from 'node:events'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { systemCode } from '#src/errors.js'
import { NameCache, SERVER_NAMES, TARGET_NAMES } from '#src/runtime/name-cache.js'
import { nodeRuntime } from '#src/runtime/node.js'
import { NodeTrust } from '#src/runtime/node-dial.js'
import { createTestCa } from '../support/test-ca.js'

const V4: LookupAddress = { address: '127.0.0.1', family: 4 }
const OTHER_V4: LookupAddress = { address: '127.0.0.2', family: 4 }
const V6: LookupAddress = { address: '::1', family: 6 }

/** A resolver that answers at the next turn with what `answers` has, and a cache over it with a clock of its own. */
class Names {
  readonly asked: string[] = []
  now = 0
  readonly cache: NameCache

  constructor(answers: Record<string, readonly LookupAddress[] | undefined>, limits = SERVER_NAMES) {
    this.cache = new NameCache(
      limits,
      (name, _options, answered) => {
        this.asked.push(name)
        const addresses = answers[name]
        const error = Object.assign(new Error('no such name'), { code: 'ENOTFOUND' })
        setImmediate(() => answered(addresses === undefined ? error : null, addresses ?? []))
      },
      () => this.now,
    )
  }

  /** A connection as a runtime makes it: where it went, or the code of why not. */
  async connect(name: string, port: number, signal = new AbortController().signal): Promise<string> {
    const open = async (host: string): Promise<Socket> => {
      const socket = connect({ host, port })
      await once(socket, 'connect')
      return socket
    }
    try {
      const socket = await this.cache.dial(name, { open, drop: (late) => late.destroy() }, signal)
      const { remoteAddress } = socket
      socket.destroy()
      return remoteAddress ?? ''
    } catch (error) {
      return systemCode(error)
    }
  }
}

/** A server that closes what it accepts; its port. */
async function listen(t: TestContext, host: string, port = 0): Promise<{ server: Server; port: number }> {
  const server = createServer((socket: Socket) => socket.on('error', () => {}).end())
  t.after(() => server.close())
  server.listen(port, host)
  await once(server, 'listening')
  return { server, port: (server.address() as AddressInfo).port }
}

describe('the names of the gateway and the egress proxy', { timeout: 1_800_000 }, () => {
  it('are asked for once by connections that are opened at the same time, and by later ones for 30 s', async (t) => {
    const { port } = await listen(t, V4.address)
    const names = new Names({ 'gateway.test': [V4] })
    const atOnce = await Promise.all(Array.from({ length: 20 }, () => names.connect('gateway.test', port)))
    assert.deepEqual(new Set(atOnce), new Set([V4.address]))
    names.now = 29_999
    assert.equal(await names.connect('gateway.test', port), V4.address)
    assert.deepEqual(names.asked, ['gateway.test'])
    names.now = 30_000
    assert.equal(await names.connect('gateway.test', port), V4.address)
    assert.deepEqual(names.asked, ['gateway.test', 'gateway.test'])
  })

  it('are asked for again when they were not found', async () => {
    const names = new Names({})
    const atOnce = await Promise.all([names.connect('gateway.test', 443), names.connect('gateway.test', 443)])
    assert.deepEqual(atOnce, ['ENOTFOUND', 'ENOTFOUND'])
    assert.equal(names.asked.length, 1)
    assert.equal(await names.connect('gateway.test', 443), 'ENOTFOUND')
    assert.equal(names.asked.length, 2)
  })

  it('have all of their addresses tried, and first the one that answered last', async (t) => {
    const { port } = await listen(t, OTHER_V4.address)
    const names = new Names({ 'gateway.test': [V6, V4, OTHER_V4] })
    // Nothing listens on the first two.
    assert.equal(await names.connect('gateway.test', port), OTHER_V4.address)
    await listen(t, V4.address, port)
    assert.equal(await names.connect('gateway.test', port), OTHER_V4.address)
    names.now = 30_000
    assert.equal(await names.connect('gateway.test', port), OTHER_V4.address)
    assert.equal(names.asked.length, 2)
  })

  it('lose an address that answered when the resolver does not have it any more', async (t) => {
    const { port } = await listen(t, V4.address)
    await listen(t, OTHER_V4.address, port)
    const answers = { 'gateway.test': [V4] }
    const names = new Names(answers)
    assert.equal(await names.connect('gateway.test', port), V4.address)
    answers['gateway.test'] = [OTHER_V4]
    names.now = 30_000
    assert.equal(await names.connect('gateway.test', port), OTHER_V4.address)
  })

  it('of targets past the gateway are asked for each time, and remembered for what answered alone', async (t) => {
    const { port } = await listen(t, OTHER_V4.address)
    const names = new Names({ 'target.test': [V4, OTHER_V4] }, TARGET_NAMES)
    assert.equal(await names.connect('target.test', port), OTHER_V4.address)
    await listen(t, V4.address, port)
    assert.equal(await names.connect('target.test', port), OTHER_V4.address)
    assert.equal(names.asked.length, 2)
  })

  it('are not waited for by a dial that is given up', async () => {
    const silent = new NameCache(SERVER_NAMES, () => {})
    const dial = new AbortController()
    const dialled = silent.dial('gateway.test', { open: async () => {}, drop() {} }, dial.signal)
    dial.abort(new Error('given up'))
    await assert.rejects(dialled, { message: 'given up' })
  })

  it('are asked for anew after a connection that reached none of their addresses', async (t) => {
    const answers = { 'gateway.test': [V4] }
    const { server, port } = await listen(t, V4.address)
    const names = new Names(answers)
    assert.equal(await names.connect('gateway.test', port), V4.address)
    server.close()
    await listen(t, OTHER_V4.address, port)
    answers['gateway.test'] = [OTHER_V4]
    assert.equal(await names.connect('gateway.test', port), 'ECONNREFUSED')
    assert.equal(await names.connect('gateway.test', port), OTHER_V4.address)
    assert.equal(names.asked.length, 2)
  })

  it('are kept for eight names at most', async (t) => {
    const { port } = await listen(t, V4.address)
    const hosts = Array.from({ length: 9 }, (_, index) => `host-${index}.test`)
    const names = new Names(Object.fromEntries(hosts.map((host) => [host, [V4]])))
    for (const host of [...hosts, 'host-8.test', 'host-0.test']) await names.connect(host, port)
    assert.deepEqual(names.asked, [...hosts, 'host-0.test'])
  })
})

describe('a connection over TLS', { timeout: 1_800_000 }, () => {
  const limits = { maxBytes: 1_000, signal: new AbortController().signal }

  it('asks for the name of the gateway once, and anew after a certificate that it refused', async (t) => {
    const ca = await createTestCa()
    const server = createHttpsServer(await ca.serverCertificate('gateway.test'), (_request, response) =>
      response.end('x'),
    )
    t.after(() => server.close())
    server.listen(0, V4.address)
    await once(server, 'listening')
    const names = new Names({ 'gateway.test': [V4], 'other.test': [V4] })
    const route = { trust: new NodeTrust(ca.rootPem, names.cache), egress: undefined, egressTimeoutMs: 10_000 }
    const fetch = (host: string) =>
      nodeRuntime.download(new URL(`https://${host}:${(server.address() as AddressInfo).port}/`), route, limits)
    for (let count = 0; count < 3; count++) assert.equal((await fetch('gateway.test')).status, 200)
    assert.deepEqual(names.asked, ['gateway.test'])
    for (let count = 0; count < 2; count++) await assert.rejects(fetch('other.test'), { code: 'gateway-tls-failed' })
    assert.deepEqual(names.asked, ['gateway.test', 'other.test', 'other.test'])
  })

  it('asks for the name of the egress proxy alone, and a target past the gateway is nobody who is remembered', async (t) => {
    const { port } = await listen(t, V4.address)
    const names = new Names({ 'proxy.test': [V4] })
    const trust = new NodeTrust(undefined, names.cache)
    const egress = { url: new URL(`http://proxy.test:${port}`), authorization: undefined }
    const route = { trust, egress, egressTimeoutMs: 10_000 }
    for (let count = 0; count < 2; count++)
      await assert.rejects(nodeRuntime.download(new URL('https://gateway.test/'), route, limits))
    assert.deepEqual(names.asked, ['proxy.test'])
    const direct = { ...route, egress: undefined }
    const target = await nodeRuntime.connect(
      { kind: 'name', host: 'localhost', port },
      direct,
      65_536,
      new AbortController().signal,
    )
    target.close()
    assert.deepEqual(names.asked, ['proxy.test'])
  })
})
