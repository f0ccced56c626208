// The certificates, judged by others: node, openssl, Python.

import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createServer } from 'node:tls'
import { promisify } from 'node:util'
import { CertificateAuthority, createCertificateAuthority, issueServerCertificate } from 'ccr-upstream-gateway'

const HOUR_MS = 3_600_000
const folder = mkdtempSync(join(tmpdir(), 'gateway-ca-'))
after(() => rmSync(folder, { recursive: true }))

const authority = await createCertificateAuthority({ commonName: 'root', days: 30 })
const LONG_NAME = `${'a'.repeat(60)}.example.com`

const isMissing = (program: string) =>
  spawnSync(program, ['--version']).error !== undefined && `${program} is not installed`

function hoursFromNow(date: string): number {
  return (new Date(date).getTime() - Date.now()) / HOUR_MS
}

test('the root is a CA that began an hour ago', () => {
  const root = new X509Certificate(authority.certificatePem)
  assert.equal(root.ca, true)
  assert.equal(root.subject, 'CN=root')
  assert.ok(Math.abs(hoursFromNow(root.validFrom) + 1) < 0.1)
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
    const leaf = new X509Certificate((await authority.leafFor(host)).certificatePem)
    assert.equal(leaf.subjectAltName, san)
    assert.equal(leaf.ca, false)
    assert.deepEqual(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1'])
    assert.ok(leaf.verify(root.publicKey))
    assert.ok(leaf.checkIssued(root))
    assert.match(leaf.serialNumber, /^[4-7][0-9A-F]{31}$/)
    assert.ok(Math.abs(hoursFromNow(leaf.validFrom) + 1) < 0.1)
    assert.ok(Math.abs(hoursFromNow(leaf.validTo) - 24) < 0.1)
  }
})

test('a leaf ends no later than its root', async () => {
  const short = await createCertificateAuthority({ days: 0.25 })
  const leaf = new X509Certificate((await short.leafFor('api.example.com')).certificatePem)
  assert.equal(leaf.validTo, new X509Certificate(short.certificatePem).validTo)
})

test('requests for one name share one minting, and serials are never the same', async () => {
  const [first, second] = await Promise.all([
    authority.leafFor('one.example.com'),
    authority.leafFor('one.example.com'),
  ])
  assert.equal(first, second)
  assert.equal(await authority.leafFor('one.example.com'), first)
  const names = Array.from({ length: 50 }, (_, index) => `n${index}.example.com`)
  const leaves = await Promise.all(names.map((name) => authority.leafFor(name)))
  assert.equal(new Set(leaves.map((leaf) => new X509Certificate(leaf.certificatePem).serialNumber)).size, 50)
})

test('the cache keeps a thousand names and drops the one that was not used longest', async () => {
  const small = await createCertificateAuthority()
  const oldest = await small.leafFor('oldest.example.com')
  const kept = await small.leafFor('kept.example.com')
  for (let index = 0; index < 999; index++) {
    if (index === 500) assert.equal(await small.leafFor('kept.example.com'), kept)
    await small.leafFor(`n${index}.example.com`)
  }
  assert.equal(await small.leafFor('kept.example.com'), kept)
  assert.notEqual(await small.leafFor('oldest.example.com'), oldest)
})

test('an authority loads from its own PEM, and from an RSA one that openssl made', {
  skip: isMissing('openssl'),
}, async () => {
  const copy = await CertificateAuthority.load({
    certificatePem: authority.certificatePem,
    privateKeyPem: authority.privateKeyPem(),
  })
  assert.ok((await copy.leafFor('api.example.com')).certificatePem.startsWith('-----BEGIN CERTIFICATE-----'))
  const [certificate, key] = [join(folder, 'rsa.pem'), join(folder, 'rsa.key')]
  const args = [
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-subj',
    '/CN=rsa',
    '-days',
    '2',
    '-keyout',
    key,
    '-out',
    certificate,
  ]
  await run('openssl', [...args, '-addext', 'keyUsage=critical,keyCertSign,cRLSign'])
  const { readFile } = await import('node:fs/promises')
  const rsa = await CertificateAuthority.load({
    certificatePem: await readFile(certificate, 'utf8'),
    privateKeyPem: await readFile(key, 'utf8'),
  })
  await verifyWithOpenssl(rsa, 'api.example.com')
})

const run = promisify(execFile)

async function verifyWithOpenssl(issuer: CertificateAuthority, host: string): Promise<void> {
  const [root, leaf] = [join(folder, 'verify-root.pem'), join(folder, 'verify-leaf.pem')]
  writeFileSync(root, issuer.certificatePem)
  writeFileSync(leaf, (await issuer.leafFor(host)).certificatePem)
  const name = /^[\d.]+$|:/.test(host) ? ['-verify_ip', host] : ['-verify_hostname', host]
  const args = ['verify', '-x509_strict', '-purpose', 'sslserver', ...name, '-CAfile', root, leaf]
  const { stdout } = await run('openssl', args)
  assert.equal(stdout, `${leaf}: OK\n`)
}

test('openssl verify -x509_strict accepts root and leaf', { skip: isMissing('openssl') }, async () => {
  for (const host of ['api.example.com', LONG_NAME, '192.0.2.1', '2001:db8::1'])
    await verifyWithOpenssl(authority, host)
})

const PYTHON_CLIENT = `
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
with socket.create_connection(('127.0.0.1', int(sys.argv[2]))) as raw:
    with context.wrap_socket(raw, server_hostname='localhost') as tls:
        print(tls.recv(100).decode())
`

test('Python accepts the certificate with VERIFY_X509_STRICT', { skip: isMissing('python3') }, async () => {
  const { certificatePem, privateKeyPem } = await issueServerCertificate(authority, ['localhost'])
  const root = join(folder, 'python-root.pem')
  writeFileSync(root, authority.certificatePem)
  const server = createServer({ cert: certificatePem, key: privateKeyPem }, (socket) => socket.end('accepted'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const { port } = server.address() as AddressInfo
    const { stdout } = await run('python3', ['-c', PYTHON_CLIENT, root, String(port)])
    assert.equal(stdout, 'accepted\n')
  } finally {
    server.close()
  }
})
