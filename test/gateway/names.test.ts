// Names that a CONNECT may not have, under a rule that would take any: no certificate is made for them (G26).

import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { CREDENTIALS, startGateway } from './fixture.js'
import { connectHead, sendHead, startTls } from './wire-client.js'

const WILDCARD = { hosts: { '*.example.com': [] } }

test('a wildcard, a NUL, a name of 300 characters and a label of 64 are answered 400', async (context) => {
  const gateway = await startGateway(context, { config: WILDCARD })
  const long = `${'a'.repeat(60)}.`.repeat(5)
  for (const host of ['*.example.com', 'a\0b.example.com', `${long}example.com`, `${'a'.repeat(64)}.example.com`]) {
    const { status } = await sendHead(gateway.tunnelUrl, CREDENTIALS.token, connectHead(`${host}:443`, CREDENTIALS))
    assert.equal(status, 400, JSON.stringify(host))
  }
})

test('a certificate under a wildcard rule is for the one name that was asked for', async (context) => {
  const gateway = await startGateway(context, { config: WILDCARD })
  const { stream } = await gateway.openTunnel('API.example.com.')
  const socket = await startTls(stream, gateway.caCertificatePem, 'api.example.com')
  const certificate = new X509Certificate(socket.getPeerCertificate().raw)
  assert.equal(certificate.subjectAltName, 'DNS:api.example.com')
  assert.equal(certificate.ca, false)
  socket.destroy()
})
