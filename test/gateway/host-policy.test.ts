// The lists of hosts: what is denied, what is let through, and what is never intercepted.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CREDENTIALS, startFixture } from './fixture.js'
import { connect, startTls } from './wire-client.js'

const API = 'api.example.com'
const PLAIN = 'plain.example.com'

/** Who signed the certificate that a client sees, or the code of the refusal. */
async function outcomeOf(fixture: Awaited<ReturnType<typeof startFixture>>, host: string): Promise<string> {
  const { stream, status, text } = await connect(fixture.tunnelUrl, CREDENTIALS, `${host}:443`)
  if (status !== 200) return /"code":"([a-z-]+)"/.exec(text)?.[1] ?? text
  const roots = fixture.gateway.caCertificatePem + fixture.originCa.rootPem
  const socket = await startTls(stream, roots, host)
  const { issuer } = socket.getPeerCertificate()
  stream.destroy()
  return String(issuer.CN)
}

test('deny wins over a rule, over allow and over the default', async (context) => {
  for (const deny of [[API], ['*.example.com'], ['*.com'], [`${API}:443`]]) {
    const fixture = await startFixture(context, { policy: { deny, allow: [API] } })
    assert.equal(await outcomeOf(fixture, API), 'policy-denied', String(deny))
    assert.equal(fixture.origin.connections, 0)
  }
  const other = await startFixture(context, { policy: { deny: ['*.api.example.com', 'example.com'] } })
  assert.equal(await outcomeOf(other, API), 'interception root')
})

test('with default deny, allow lets a host through untouched, and a rule lets it through intercepted', async (context) => {
  const fixture = await startFixture(context, { default: 'deny', policy: { allow: ['plain.example.com'] } })
  assert.equal(await outcomeOf(fixture, PLAIN), 'origin root')
  assert.equal(await outcomeOf(fixture, API), 'interception root')
  assert.equal(await outcomeOf(fixture, 'other.example.com'), 'policy-denied')
})

test('a pinned host is never intercepted, and pinned alone does not let it through', async (context) => {
  const fixture = await startFixture(context, { policy: { pinned: ['*.example.com'] } })
  assert.equal(await outcomeOf(fixture, API), 'origin root')
  const record = await fixture.nextAudit()
  assert.equal(record.mode, 'tunnel')
  const denying = await startFixture(context, { default: 'deny', policy: { pinned: [PLAIN] } })
  assert.equal(await outcomeOf(denying, PLAIN), 'policy-denied')
})
