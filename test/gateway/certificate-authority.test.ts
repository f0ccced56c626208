// The certificates, judged by Node; certificate-authority.long.test.ts has them judged by openssl and Python.

import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { createCertificateAuthority } from 'ccr-upstream-gateway'
import '../support/watched-process.js'
import { Leaves } from '#gateway/certificates/leaves.js'

const HOUR_MS = 3_600_000

const authority = await createCertificateAuthority({ commonName: 'root', days: 30 })
const leaves = new Leaves(authority)
const LONG_NAME = `${'a'.repeat(60)}.example.com`

function hoursFromNow(date: string): number {
  return (new Date(date).getTime() - Date.now()) / HOUR_MS
}

test('the root is a CA that began sixty days ago', () => {
  const root = new X509Certificate(authority.certificatePem)
  assert.equal(root.ca, true)
  assert.equal(root.subject, 'CN=root')
  assert.ok(Math.abs(hoursFromNow(root.validFrom) + 60 * 24) < 0.1)
  assert.ok(Math.abs(hoursFromNow(root.validTo) - 30 * 24) < 0.1)
})

test('a leaf names one host, lives a day and is signed by the root', async () => {
  const root = new X509Certificate(authority.certificatePem)
  for (const [host, san] of [
    ['api.example.com', 'DNS:api.example.com'],
    [LONG_NAME, `DNS:${LONG_NAME}`],
    ['192.0.2.1', 'IP Address:192.0.2.1'],
    ['2001:db8::1', 'IP Address:2001:DB8:0:0:0:0:0:1'],
  ] as const) {
    const leaf = new X509Certificate((await leaves.leafFor(host)).certificatePem)
    assert.equal(leaf.subjectAltName, san)
    assert.equal(leaf.ca, false)
    assert.deepEqual(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1'])
    assert.ok(leaf.verify(root.publicKey))
    assert.ok(leaf.checkIssued(root))
    assert.match(leaf.serialNumber, /^[4-7][0-9A-F]{31}$/)
    assert.ok(Math.abs(hoursFromNow(leaf.validFrom) + 60 * 24) < 0.1)
    assert.ok(Math.abs(hoursFromNow(leaf.validTo) - 24) < 0.1)
  }
})

test('a leaf ends no later than its root', async () => {
  const short = await createCertificateAuthority({ days: 0.25 })
  const leaf = new X509Certificate((await new Leaves(short).leafFor('api.example.com')).certificatePem)
  assert.equal(leaf.validTo, new X509Certificate(short.certificatePem).validTo)
})

test('requests for one name share one minting, and serials are never the same', async () => {
  const [first, second] = await Promise.all([leaves.leafFor('one.example.com'), leaves.leafFor('one.example.com')])
  assert.equal(first, second)
  assert.equal(await leaves.leafFor('one.example.com'), first)
  const names = Array.from({ length: 50 }, (_, index) => `n${index}.example.com`)
  const minted = await Promise.all(names.map((name) => leaves.leafFor(name)))
  assert.equal(new Set(minted.map((leaf) => new X509Certificate(leaf.certificatePem).serialNumber)).size, 50)
})
