// The certificates, judged by openssl and Python, and a cache that is full.

import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createServer } from 'node:tls'
import { promisify } from 'node:util'
import { CertificateAuthority, createCertificateAuthority, issueServerCertificate } from 'ccr-upstream-gateway'
import { Leaves } from '#gateway/certificates/leaves.js'
import { listen } from '../support/listening.js'
import '../support/watched-process.js'

const folder = mkdtempSync(join(tmpdir(), 'gateway-ca-'))
after(() => rmSync(folder, { recursive: true }))

const authority = await createCertificateAuthority({ commonName: 'root', days: 30 })
const LONG_NAME = `${'a'.repeat(60)}.example.com`

const run = promisify(execFile)
const isMissing = (program: string) =>
  spawnSync(program, ['--version']).error !== undefined && `${program} is not installed`

test('an authority loads from its own PEM, and from an RSA one that openssl made', {
  skip: isMissing('openssl'),
}, async () => {
  const copy = await CertificateAuthority.load({
    certificatePem: authority.certificatePem,
    privateKeyPem: authority.privateKeyPem(),
  })
  await verifyWithOpenssl(copy, 'api.example.com')
  const [certificate, key] = [join(folder, 'rsa.pem'), join(folder, 'rsa.key')]
  const args = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=rsa', '-days', '2']
  const files = ['-keyout', key, '-out', certificate]
  await run('openssl', [...args, ...files, '-addext', 'keyUsage=critical,keyCertSign,cRLSign'])
  const rsa = await CertificateAuthority.load({
    certificatePem: readFileSync(certificate, 'utf8'),
    privateKeyPem: readFileSync(key, 'utf8'),
  })
  await verifyWithOpenssl(rsa, 'api.example.com')
})

test('an authority with an RSA key has nothing of ECDSA but the certificates for ECDSA keys', {
  skip: isMissing('openssl'),
}, async () => {
  const rsaAuthority = await createCertificateAuthority({ keyType: 'rsa' })
  await verifyWithOpenssl(rsaAuthority, 'api.example.com')
  const leaf = await new Leaves(rsaAuthority).leafFor('api.example.com')
  for (const { certificatePem } of [rsaAuthority, await leaf.mintRsa()]) {
    const file = join(folder, 'shown.pem')
    writeFileSync(file, certificatePem)
    const { stdout } = await run('openssl', ['x509', '-in', file, '-noout', '-text'])
    const algorithms = Array.from(stdout.matchAll(/Algorithm: (\S+)/g), ([, name]) => name)
    assert.deepEqual(algorithms, ['sha256WithRSAEncryption', 'rsaEncryption', 'sha256WithRSAEncryption'])
  }
})

async function verifyWithOpenssl(issuer: CertificateAuthority, host: string): Promise<void> {
  const [root, leaf] = [join(folder, 'verify-root.pem'), join(folder, 'verify-leaf.pem')]
  writeFileSync(root, issuer.certificatePem)
  const name = /^[\d.]+$|:/.test(host) ? ['-verify_ip', host] : ['-verify_hostname', host]
  const args = ['verify', '-x509_strict', '-purpose', 'sslserver', ...name, '-CAfile', root, leaf]
  const ecdsa = await new Leaves(issuer).leafFor(host)
  for (const { certificatePem } of [ecdsa, await ecdsa.mintRsa()]) {
    writeFileSync(leaf, certificatePem)
    const { stdout } = await run('openssl', args)
    assert.equal(stdout, `${leaf}: OK\n`)
  }
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

test('Python accepts the certificate with VERIFY_X509_STRICT', { skip: isMissing('python3') }, async (context) => {
  const { certificatePem, privateKeyPem } = await issueServerCertificate(authority, ['localhost'])
  const root = join(folder, 'python-root.pem')
  writeFileSync(root, authority.certificatePem)
  const server = createServer({ cert: certificatePem, key: privateKeyPem }, (socket) => socket.end('accepted'))
  const { port } = await listen(context, server)
  const { stdout } = await run('python3', ['-c', PYTHON_CLIENT, root, String(port)])
  assert.equal(stdout, 'accepted\n')
})

test('the cache keeps a thousand names and drops the one that was not used longest', async () => {
  const small = new Leaves(await createCertificateAuthority())
  const oldest = await small.leafFor('oldest.example.com')
  const kept = await small.leafFor('kept.example.com')
  for (let index = 0; index < 999; index++) {
    if (index === 500) assert.equal(await small.leafFor('kept.example.com'), kept)
    await small.leafFor(`n${index}.example.com`)
  }
  assert.equal(await small.leafFor('kept.example.com'), kept)
  assert.notEqual(await small.leafFor('oldest.example.com'), oldest)
})
