// Certificates as `openssl s_client` sees them, which can be told what RSA-only clients know and what time it is.

import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { listen } from '../support/listening.js'
import { HOST, startGateway, type TestGateway } from './fixture.js'

const run = promisify(execFile)
const DAY_SECONDS = 86_400
const SKIP = spawnSync('openssl', ['version']).error !== undefined && 'openssl is not installed'

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

test('a client that knows RSA only gets an RSA certificate, by any of its suites', { skip: SKIP }, async (context) => {
  const gateway = await startGateway(context)
  for (const cipher of ['aRSA', 'ECDHE-RSA-AES128-GCM-SHA256', 'AES128-GCM-SHA256']) {
    const seen = await opensslSees(context, gateway, '-tls1_2', '-cipher', cipher)
    assert.match(seen, /Verify return code: 0 \(ok\)/, cipher)
  }
  const seen = await opensslSees(context, gateway, '-tls1_3', '-sigalgs', 'rsa_pss_rsae_sha256')
  assert.match(seen, /Peer signature type: RSA-PSS/)
})

test('a client whose clock is a month slow trusts either certificate', { skip: SKIP }, async (context) => {
  const gateway = await startGateway(context)
  const then = String(Math.floor(Date.now() / 1_000) - 30 * DAY_SECONDS)
  for (const cipher of ['aRSA', 'aECDSA']) {
    const seen = await opensslSees(context, gateway, '-attime', then, '-tls1_2', '-cipher', cipher)
    assert.match(seen, /Verify return code: 0 \(ok\)/, cipher)
  }
  const tooSlow = String(Math.floor(Date.now() / 1_000) - 90 * DAY_SECONDS)
  await assert.rejects(opensslSees(context, gateway, '-attime', tooSlow), /not yet valid/)
})
