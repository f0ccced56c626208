// Clients that the web serves and one kind of certificate does not: those that know RSA only, and those whose clock is slow.
// And a client that asks for more names than any honest one.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import { listen } from '../support/listening.js'
import { HOST, startGateway, type TestGateway } from './fixture.js'

const run = promisify(execFile)
const DAY_SECONDS = 86_400

/** A port behind which each connection is a tunnel to HOST. */
async function startDoor(context: TestContext, gateway: TestGateway): Promise<string> {
  const server = createServer(async (socket) => {
    const { stream } = await gateway.openTunnel(HOST)
    socket.pipe(stream).pipe(socket)
  })
  return (await listen(context, server)).address
}

/** The end of `openssl s_client`, which fails where it does not trust what it is shown. */
async function opensslSees(context: TestContext, gateway: TestGateway, ...options: string[]): Promise<string> {
  gateway.put('trusted.pem', gateway.caCertificatePem)
  const door = await startDoor(context, gateway)
  const trust = ['-CAfile', join(gateway.folder, 'trusted.pem'), '-verify_return_error', '-verify_hostname', HOST]
  const child = run('openssl', ['s_client', '-connect', door, '-servername', HOST, ...trust, ...options])
  child.child.stdin?.end()
  return (await child).stdout
}

async function handshake(stream: Duplex, ca: string, options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connectTls({ socket: stream, ca, servername: HOST, ...options })
  await once(socket, 'secureConnect')
  return socket
}

test('a client that knows RSA only gets an RSA certificate, by any of its suites', async (context) => {
  const gateway = await startGateway(context)
  for (const cipher of ['aRSA', 'ECDHE-RSA-AES128-GCM-SHA256', 'AES128-GCM-SHA256']) {
    const seen = await opensslSees(context, gateway, '-tls1_2', '-cipher', cipher)
    assert.match(seen, /Verify return code: 0 \(ok\)/, cipher)
  }
  const seen = await opensslSees(context, gateway, '-tls1_3', '-sigalgs', 'rsa_pss_rsae_sha256')
  assert.match(seen, /Peer signature type: RSA-PSS/)
})

test('a client that knows both gets the ECDSA certificate, whatever it names first', async (context) => {
  const gateway = await startGateway(context)
  const clients: ConnectionOptions[] = [
    {},
    { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256' },
    { sigalgs: 'rsa_pss_rsae_sha256:ecdsa_secp256r1_sha256' },
  ]
  for (const options of clients) {
    const { stream } = await gateway.openTunnel(HOST)
    const socket = await handshake(stream, gateway.caCertificatePem, options)
    assert.equal((socket.getPeerCertificate() as { nistCurve?: string }).nistCurve, 'P-256')
    socket.destroy()
  }
})

test('a client whose clock is a month slow trusts either certificate', async (context) => {
  const gateway = await startGateway(context)
  const then = String(Math.floor(Date.now() / 1_000) - 30 * DAY_SECONDS)
  for (const cipher of ['aRSA', 'aECDSA']) {
    const seen = await opensslSees(context, gateway, '-attime', then, '-tls1_2', '-cipher', cipher)
    assert.match(seen, /Verify return code: 0 \(ok\)/, cipher)
  }
  const tooSlow = String(Math.floor(Date.now() / 1_000) - 90 * DAY_SECONDS)
  await assert.rejects(opensslSees(context, gateway, '-attime', tooSlow), /not yet valid/)
})

test('the 121st new name in a minute is answered 429 before the 200; names that are known cost nothing', async (context) => {
  const other = { session: 'other', token: 'other-token-0123456789' }
  const gateway = await startGateway(context, { rules: { '*.example.com': [] }, sessions: [other] })
  const statusOf = async (name: string, who?: typeof other) => {
    const { stream, status } = await gateway.openTunnel(`${name}.example.com`, who)
    stream.destroy()
    return status
  }
  const names = Array.from({ length: 120 }, (_, index) => `n${index}`)
  for (let at = 0; at < 120; at += 20) {
    const statuses = await Promise.all(names.slice(at, at + 20).map((name) => statusOf(name)))
    assert.deepEqual(new Set(statuses), new Set([200]))
  }
  await gateway.reload({})
  assert.equal(await statusOf('n0'), 200)
  // Time gives some back meanwhile.
  let refused: Awaited<ReturnType<TestGateway['openTunnel']>>
  for (let more = 0; ; more++) {
    refused = await gateway.openTunnel(`m${more}.example.com`)
    if (refused.status !== 200) break
    refused.stream.destroy()
  }
  assert.equal(refused.status, 429)
  assert.match(refused.text, /\r\nRetry-After: 1\r\n[\s\S]*"code":"session-names-exceeded"/)
  assert.equal(await statusOf('n1'), 200)
  assert.equal(await statusOf('of-another', other), 200)
  assert.ok(gateway.audit.some((record) => record.mode === 'refused' && record.code === 'session-names-exceeded'))
})
