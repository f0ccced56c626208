// The relay behind the container's own egress proxy: what it sends there, what it takes for an answer, and who is blamed.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isInstalled } from '../support/cli-process.js'
import { connectHead } from '../support/connect-vectors.js'
import { deterministicBytes } from '../support/deterministic-bytes.js'
import { type ProxyScript, startScriptedProxy, tunnelBehind } from '../support/egress-proxy.js'
import { startSquid, startTinyproxy } from '../support/installed-proxies.js'
import { startRelayProcess } from '../support/relay-process.js'
import { describeOnEachRuntime, type TestRuntime } from '../support/runtimes.js'
import { createTempDirectory, SharedScope } from '../support/temp-dir.js'
import { createTestCa } from '../support/test-ca.js'
import { startWireGateway, type WireGateway } from '../support/wire-gateway.js'
import { RelayFixture, relayOptions, TOKEN } from './fixture.js'

/** More than the buffers of the system on the way. */
const MUCH = 4 * 1024 * 1024

const CREDENTIAL = `Basic ${Buffer.from('us@er:p:w').toString('base64')}`

const scope = new SharedScope()
const PROGRAMS = [
  { program: 'tinyproxy', start: startTinyproxy, isHere: await isInstalled(scope, 'tinyproxy', '-v') },
  { program: 'squid', start: startSquid, isHere: await isInstalled(scope, '/usr/sbin/squid', '-v') },
]
await scope.end()

/** Runs `check` with a relay behind a proxy at `address`. */
async function behind(
  runtime: TestRuntime,
  address: string,
  check: (fixture: RelayFixture) => Promise<void>,
  more: { limits?: object; extraRootPem?: string } = {},
): Promise<void> {
  const gateway: WireGateway = await startWireGateway()
  const trustedCertificates = `${gateway.rootPem}\n${more.extraRootPem ?? ''}`
  const options = relayOptions(gateway, {
    egress: address,
    trustedCertificates,
    ...(more.limits && { limits: more.limits }),
  })
  const fixture = new RelayFixture(gateway, await startRelayProcess(runtime, options))
  try {
    await check(fixture)
  } finally {
    await fixture.end()
  }
}

/** One tunnel that says something both ways, and then much. */
async function exchange(fixture: RelayFixture): Promise<void> {
  const { client, tunnel } = await fixture.open()
  client.write('ping')
  assert.equal((await tunnel.take(4)).toString(), 'ping')
  tunnel.send('pong')
  assert.equal((await client.take(4)).toString(), 'pong')
  const bytes = [...deterministicBytes(MUCH)]
  const [up, down] = await Promise.all([
    tunnel.take(MUCH),
    client.take(MUCH),
    client.writeAll(bytes),
    tunnel.sendAll(bytes),
  ])
  assert.ok(up.equals(Buffer.concat(bytes)) && down.equals(up))
}

async function refusalOf(fixture: RelayFixture): Promise<{ status: number; code: string; body: string }> {
  const client = await fixture.connect()
  client.write(connectHead('h.example:443'))
  const { status, body } = await client.takeOnlyAnswer()
  return { status, code: (JSON.parse(body) as { code: string }).code, body }
}

const answering =
  (answer: string): ProxyScript =>
  (socket) =>
    socket.end(answer)

describeOnEachRuntime('behind an egress proxy', (runtime) => {
  test('tunnels go through it, with its credential and nothing of ours', async () => {
    const proxy = await startScriptedProxy(tunnelBehind('HTTP/1.1 200 Connection established\r\n\r\n'))
    await behind(runtime, `http://us%40er:p%3Aw@127.0.0.1:${proxy.port}`, async (fixture) => {
      await exchange(fixture)
      const [head = ''] = proxy.heads
      assert.match(head, new RegExp(`^CONNECT 127\\.0\\.0\\.1:${fixture.gateway.port} HTTP/1\\.1\r\n`))
      assert.ok(head.includes(`\r\nProxy-Authorization: ${CREDENTIAL}\r\n`))
      assert.ok(!head.includes(TOKEN) && !head.includes(Buffer.from(TOKEN).toString('base64')))
      assert.doesNotMatch(head, /\r\nAuthorization:|Bearer/i)
    })
    await proxy.close()
  })

  test('a proxy that speaks TLS is verified and used', async () => {
    const ca = await createTestCa('egress root')
    const proxy = await startScriptedProxy(
      tunnelBehind('HTTP/1.1 200 OK\r\n\r\n'),
      await ca.serverCertificate('127.0.0.1', 'localhost'),
    )
    const address = `https://127.0.0.1:${proxy.port}`
    await behind(runtime, address, exchange, { extraRootPem: ca.rootPem })
    assert.equal(proxy.heads.length, 1)
    await behind(runtime, address, async (fixture) => {
      const { status } = await refusalOf(fixture)
      assert.equal(status, 502)
      assert.equal(fixture.gateway.connections, 0)
    })
    assert.equal(proxy.heads.length, 1)
    await proxy.close()
  })

  const blamed: [title: string, answer: string, status: number, code: string][] = [
    [
      '407',
      'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n',
      502,
      'egress-authentication-required',
    ],
    ['403', 'HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n', 502, 'egress-refused'],
    ['503', 'HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n', 502, 'egress-refused'],
  ]
  for (const [title, answer, status, code] of blamed) {
    test(`its ${title} is told as its own`, async () => {
      const proxy = await startScriptedProxy(answering(answer))
      await behind(runtime, `http://u:topsecret@127.0.0.1:${proxy.port}`, async (fixture) => {
        const refusal = await refusalOf(fixture)
        assert.deepEqual([refusal.status, refusal.code], [status, code])
        assert.ok(!refusal.body.includes('topsecret'))
        assert.equal(fixture.gateway.connections, 0)
      })
      await proxy.close()
    })
  }

  test('a proxy that nobody listens for is told apart from the gateway', async () => {
    const proxy = await startScriptedProxy(() => {})
    await proxy.close()
    await behind(runtime, `http://127.0.0.1:${proxy.port}`, async (fixture) => {
      const { status, code } = await refusalOf(fixture)
      assert.deepEqual([status, code], [502, 'egress-unreachable'])
    })
  })

  test('a proxy that closes without an answer, or does not speak HTTP, is told', async () => {
    for (const script of [answering(''), answering('SSH-2.0-x\r\n\r\n')]) {
      const proxy = await startScriptedProxy(script)
      await behind(runtime, `http://127.0.0.1:${proxy.port}`, async (fixture) => {
        const { status, code } = await refusalOf(fixture)
        assert.equal(status, 502)
        assert.match(code, /^egress-(?:unreachable|refused)$/)
      })
      await proxy.close()
    }
  })

  test('a proxy that never answers is given up at the limit', async () => {
    const proxy = await startScriptedProxy(() => {})
    const limits = { egressTimeoutMs: 300 }
    await behind(
      runtime,
      `http://127.0.0.1:${proxy.port}`,
      async (fixture) => {
        const { status, code } = await refusalOf(fixture)
        assert.deepEqual([status, code], [504, 'egress-timeout'])
      },
      { limits },
    )
    await proxy.close()
  })

  test('a gateway that the proxy reaches but nobody may trust is the gateway’s fault', async () => {
    const ca = await createTestCa('egress root')
    const certificate = await ca.serverCertificate('127.0.0.1')
    const gateway = await startWireGateway('other.example')
    for (const [scheme, trustedCertificates] of [
      ['http', gateway.rootPem],
      ['http', ca.rootPem],
      ['https', `${gateway.rootPem}\n${ca.rootPem}`],
      ['https', ca.rootPem],
    ] as const) {
      const script = tunnelBehind('HTTP/1.1 200 OK\r\n\r\n')
      const proxy = await startScriptedProxy(script, scheme === 'https' ? certificate : undefined)
      const options = relayOptions(gateway, { egress: `${scheme}://127.0.0.1:${proxy.port}`, trustedCertificates })
      const relay = await startRelayProcess(runtime, options, { env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' } })
      const { status, code } = await refusalOf(new RelayFixture(gateway, relay))
      assert.deepEqual([status, code], [502, 'gateway-tls-failed'], scheme)
      assert.equal(gateway.upgrades, 0)
      // Node warns about the variable, which must have no effect.
      relay.faults.splice(0)
      await relay.stop()
      await proxy.close()
    }
    await gateway.close()
  })

  test('any 2xx opens the way, and what comes behind its head belongs to the gateway', async () => {
    for (const answer of [
      'HTTP/1.0 200 OK\r\nVia: x\r\n\r\n',
      'HTTP/1.1 204 No Content\r\n\r\n',
      'HTTP/1.1 299 x\r\n\r\n',
    ]) {
      const proxy = await startScriptedProxy(tunnelBehind(answer))
      await behind(runtime, `http://127.0.0.1:${proxy.port}`, exchange)
      await proxy.close()
    }
  })

  test('an answer head without end is given up at 16 KiB', async () => {
    const proxy = await startScriptedProxy((socket) => socket.write(`HTTP/1.1 200 OK\r\nA: ${'a'.repeat(20_000)}`))
    await behind(runtime, `http://127.0.0.1:${proxy.port}`, async (fixture) => {
      assert.equal((await refusalOf(fixture)).code, 'egress-refused')
    })
    await proxy.close()
  })

  for (const { program, start, isHere } of PROGRAMS) {
    test(`${program} with Basic credentials carries tunnels, and its 407 is told as its own`, {
      skip: !isHere && `${program} is not installed`,
    }, async (t) => {
      const port = await start(t, createTempDirectory(t, 'egress'))
      await behind(runtime, `http://user:pass@127.0.0.1:${port}`, exchange)
      await behind(runtime, `http://user:wrong@127.0.0.1:${port}`, async (fixture) => {
        const { status, code } = await refusalOf(fixture)
        assert.deepEqual([status, code], [502, 'egress-authentication-required'])
      })
    })
  }
})
