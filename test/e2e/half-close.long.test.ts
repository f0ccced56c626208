// Tunnels through relay and our gateway end on both sides as soon as the client has ended, without any limit of time.

import assert from 'node:assert/strict'
import { on, once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect as connectHttp2 } from 'node:http2'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import type { AuditRecord } from 'ccr-upstream-gateway'
import { connectHead } from '../support/connect-vectors.js'
import { connectRaw } from '../support/raw-client.js'
import { type RelayProcess, startRelayProcess } from '../support/relay-process.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { PLAIN_HOST, RULED_HOST, SESSION_ID, startSystem, TOKEN } from '../support/system.js'
import { createTempDirectory, SharedScope } from '../support/temp-dir.js'
import { createTestCa } from '../support/test-ca.js'

const NEVER_MS = 600_000
/** More than are left half-closed at the same time by any tool. */
const CONNECTIONS = 200

describeOnEachRuntime('the end of a client', (runtime) => {
  const scope = new SharedScope()
  let interceptionRootPem: string
  let audit: readonly AuditRecord[]
  let relay: RelayProcess
  let tunnelLog: string
  before(async () => {
    const interceptionCa = await createTestCa('interception root')
    interceptionRootPem = interceptionCa.rootPem
    const gatewayCa = await createTestCa('gateway root')
    const system = await startSystem(scope, { interceptionCa, gatewayCa })
    tunnelLog = join(createTempDirectory(scope, 'log'), 'tunnels.jsonl')
    audit = system.audit
    relay = await startRelayProcess(runtime, {
      tunnelUrl: `${system.gateway.url.replace('https', 'wss')}/upstreamproxy/ws`,
      token: TOKEN,
      sessionId: SESSION_ID,
      trustedCertificates: gatewayCa.rootPem,
      tunnelLog,
      limits: { lingerMs: NEVER_MS, closeLingerMs: NEVER_MS },
    })
  })
  after(async () => {
    await relay.stop()
    await scope.end()
  })

  const outcomes = () =>
    readFileSync(tunnelLog, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => (JSON.parse(line) as { outcome: string }).outcome)

  async function openTunnel(host: string) {
    const client = await connectRaw(relay.port)
    client.write(connectHead(`${host}:443`))
    await client.takeOpening()
    return client
  }

  test('of HTTP/2 is the end of its tunnel, which is completed', async () => {
    const { socket } = await openTunnel(RULED_HOST)
    socket.removeAllListeners('data')
    const secured = connectTls({ socket, servername: RULED_HOST, ca: interceptionRootPem, ALPNProtocols: ['h2'] })
    await once(secured, 'secureConnect')
    const session = connectHttp2(`https://${RULED_HOST}`, { createConnection: () => secured })
    const request = session.request({ ':path': '/' })
    const [headers] = (await once(request, 'response')) as [{ ':status': number }]
    assert.equal(headers[':status'], 200)
    request.resume()
    await once(request, 'end')
    session.close()
    socket.end()
    await relay.tunnels(0)
    assert.deepEqual(outcomes().slice(-1), ['completed'])
  })

  test('of HTTP/2 that leaves at the last byte of an answer has had all of it', async () => {
    const before = audit.length
    for (let count = 0; count < 20; count++) {
      const { socket } = await openTunnel(RULED_HOST)
      socket.removeAllListeners('data')
      const options = { socket, servername: RULED_HOST, ca: interceptionRootPem, ALPNProtocols: ['h2'] }
      const secured = connectTls(options)
      await once(secured, 'secureConnect')
      const session = connectHttp2(`https://${RULED_HOST}`, { createConnection: () => secured })
      const request = session.request({ ':path': '/' })
      const [headers] = (await once(request, 'response')) as [{ 'content-length': string }]
      let left = Number(headers['content-length'])
      assert.ok(left > 0)
      session.on('error', () => {})
      request.on('error', () => {})
      for await (const [{ length }] of on(request, 'data') as AsyncIterable<[Buffer]>) {
        left -= length
        if (left === 0) break
      }
      socket.destroy()
    }
    await relay.tunnels(0)
    const records = audit.slice(before)
    assert.deepEqual([records.length, records.filter((record) => 'error' in record)], [20, []])
  })

  for (const host of [RULED_HOST, PLAIN_HOST])
    test(`of ${CONNECTIONS} connections to ${host}, right after the 200, is the end of their tunnels`, async () => {
      const clients = []
      for (let count = 0; count < CONNECTIONS; count++) {
        const client = await openTunnel(host)
        client.socket.end()
        clients.push(client)
      }
      await relay.tunnels(0)
      assert.deepEqual(new Set(outcomes().slice(-CONNECTIONS)), new Set(['completed']))
      for (const { socket } of clients) socket.destroy()
    })
})
