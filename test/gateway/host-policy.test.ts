// The lists of hosts: what is denied, what is let through, and what is never intercepted.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { originCa } from '../support/origin.js'
import { startGateway, type TestGateway } from './fixture.js'
import { startTls } from './wire-client.js'

const API = 'api.example.com'
const PLAIN = 'plain.example.com'

/** Who signed the certificate that a client sees, or the code of the refusal. */
async function outcomeOf(gateway: TestGateway, host: string): Promise<string> {
  const { stream, status, text } = await gateway.openTunnel(host)
  if (status !== 200) return /"code":"([a-z-]+)"/.exec(text)?.[1] ?? text
  const roots = gateway.caCertificatePem + originCa.rootPem
  const socket = await startTls(stream, roots, host)
  const { issuer } = socket.getPeerCertificate()
  stream.destroy()
  return String(issuer.CN)
}

test('deny wins over a rule, over allow and over the default', async (context) => {
  for (const deny of [[API], ['*.example.com'], ['*.com'], [`${API}:443`]]) {
    const gateway = await startGateway(context, { config: { deny, allow: [API] } })
    assert.equal(await outcomeOf(gateway, API), 'policy-denied', String(deny))
    assert.equal(gateway.origin.connections, 0)
  }
  const other = await startGateway(context, { config: { deny: ['*.api.example.com', 'example.com'] } })
  assert.equal(await outcomeOf(other, API), 'interception root')
})

test('with default deny, allow lets a host through untouched, and a rule lets it through intercepted', async (context) => {
  const gateway = await startGateway(context, { config: { default: 'deny', allow: ['plain.example.com'] } })
  assert.equal(await outcomeOf(gateway, PLAIN), 'origin root')
  assert.equal(await outcomeOf(gateway, API), 'interception root')
  assert.equal(await outcomeOf(gateway, 'other.example.com'), 'policy-denied')
})

test('a pinned host is never intercepted, and pinned alone does not let it through', async (context) => {
  const gateway = await startGateway(context, { config: { pinned: ['*.example.com'] } })
  assert.equal(await outcomeOf(gateway, API), 'origin root')
  const record = await gateway.nextRecord()
  assert.equal(record.mode, 'tunnel')
  const denying = await startGateway(context, { config: { default: 'deny', pinned: [PLAIN] } })
  assert.equal(await outcomeOf(denying, PLAIN), 'policy-denied')
})
