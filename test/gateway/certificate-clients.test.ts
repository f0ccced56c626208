// Clients that the web serves and one kind of certificate does not. And one that asks for more names than any honest one.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import { test } from 'node:test'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import { HOST, startGateway, type TestGateway } from './fixture.js'

async function handshake(stream: Duplex, ca: string, options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connectTls({ socket: stream, ca, servername: HOST, ...options })
  await once(socket, 'secureConnect')
  return socket
}

test('a client that knows RSA only gets an RSA certificate, by any of its suites', async (context) => {
  const gateway = await startGateway(context)
  const ciphers = ['aRSA', 'ECDHE-RSA-AES128-GCM-SHA256', 'AES128-GCM-SHA256']
  const clients: ConnectionOptions[] = [
    ...ciphers.map((names) => ({ maxVersion: 'TLSv1.2', ciphers: names }) as const),
    { sigalgs: 'rsa_pss_rsae_sha256:ecdsa_secp384r1_sha384' },
  ]
  for (const options of clients) {
    const { stream } = await gateway.openTunnel(HOST)
    const socket = await handshake(stream, gateway.caCertificatePem, options)
    assert.equal((socket.getPeerCertificate() as { bits?: number }).bits, 2_048)
    socket.destroy()
  }
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
