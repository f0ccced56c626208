// What is said of CA certificates that some clients reject. They are made by openssl.

import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { createCertificateAuthority } from 'ccr-upstream-gateway'
import { lintCaCertificate } from '#src/system/certificates/ca-lint.js'
import { readExtensions } from '#src/system/certificates/der.js'
import { isInstalled, run } from '../support/cli-process.js'
import { createTempDirectory, type Scope, SharedScope } from '../support/temp-dir.js'

const GOOD = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign', 'subjectKeyIdentifier=hash']
const P256 = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256']

const CASES: readonly { title: string; extensions: readonly string[]; key?: readonly string[]; findings: RegExp[] }[] =
  [
    { title: 'has what all clients want', extensions: GOOD, findings: [] },
    { title: 'has an RSA key of 2048 bits', extensions: GOOD, key: ['-newkey', 'rsa:2048'], findings: [] },
    {
      title: 'has basic constraints that are not critical',
      extensions: ['basicConstraints=CA:TRUE', ...GOOD.slice(1)],
      findings: [/critical/],
    },
    { title: 'has no key usage', extensions: [GOOD[0] ?? '', GOOD[2] ?? ''], findings: [/no key usage/] },
    {
      title: 'may not sign certificates',
      extensions: [GOOD[0] ?? '', 'keyUsage=critical,digitalSignature', GOOD[2] ?? ''],
      findings: [/does not allow/],
    },
    {
      title: 'has no subject key identifier',
      extensions: [...GOOD.slice(0, 2), 'subjectKeyIdentifier=none'],
      findings: [/subject key/],
    },
    { title: 'has an RSA key of 1024 bits', extensions: GOOD, key: ['-newkey', 'rsa:1024'], findings: [/1024 bits/] },
    {
      title: 'has a key on a short curve',
      extensions: GOOD,
      key: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:secp224r1'],
      findings: [/secp224r1/],
    },
  ]

const setup = new SharedScope()
const skip = (await isInstalled(setup, 'openssl', 'version')) ? false : 'openssl is not installed'

async function createCertificate(
  t: Scope,
  extensions: readonly string[],
  key: readonly string[],
): Promise<X509Certificate> {
  const folder = createTempDirectory(t, 'lint')
  const config = ['[req]', 'distinguished_name=dn', 'x509_extensions=ext', '[dn]', '[ext]', ...extensions]
  writeFileSync(join(folder, 'openssl.cnf'), `${config.join('\n')}\n`)
  const output = ['-keyout', 'key.pem', '-out', 'ca.pem']
  const args = [
    'req',
    '-x509',
    '-nodes',
    '-config',
    'openssl.cnf',
    '-subj',
    '/CN=lint',
    '-days',
    '9',
    ...key,
    ...output,
  ]
  const { exitCode, stderr } = await run(t, 'openssl', args, { env: { PATH: process.env.PATH }, cwd: folder })
  assert.equal(exitCode, 0, stderr)
  return new X509Certificate(readFileSync(join(folder, 'ca.pem')))
}

describe('the lint of a CA', { timeout: 1_800_000 }, () => {
  for (const { title, extensions, key = P256, findings } of CASES) {
    test(`that ${title}: ${findings.length === 0 ? 'nothing' : findings.join(', ')}`, { skip }, async (t) => {
      const certificate = await createCertificate(t, extensions, key)
      const found = lintCaCertificate(certificate, new Date())
      assert.equal(found.length, findings.length, found.join('; '))
      for (const [index, pattern] of findings.entries()) assert.match(found[index] ?? '', pattern)
    })
  }

  test('minds a missing authority key identifier of one that another has signed, not of a root', {
    skip,
  }, async (t) => {
    const folder = createTempDirectory(t, 'lint')
    const openssl = async (...args: string[]): Promise<void> => {
      const { exitCode, stderr } = await run(t, 'openssl', args, { env: { PATH: process.env.PATH }, cwd: folder })
      assert.equal(exitCode, 0, stderr)
    }
    const root = await createCertificateAuthority({ commonName: 'root' })
    writeFileSync(join(folder, 'root.pem'), root.certificatePem)
    writeFileSync(join(folder, 'root.key'), root.privateKeyPem())
    writeFileSync(join(folder, 'with'), [...GOOD, 'authorityKeyIdentifier=keyid'].join('\n'))
    writeFileSync(join(folder, 'without'), [...GOOD, 'authorityKeyIdentifier=none'].join('\n'))
    await openssl('req', '-new', '-nodes', ...P256, '-subj', '/CN=link', '-keyout', 'link.key', '-out', 'link.csr')
    const lintOf = async (extensions: string): Promise<string> => {
      const signing = ['-CA', 'root.pem', '-CAkey', 'root.key', '-extfile', extensions, '-days', '9']
      await openssl('x509', '-req', '-in', 'link.csr', ...signing, '-out', 'link.pem')
      const certificate = new X509Certificate(readFileSync(join(folder, 'link.pem')))
      return lintCaCertificate(certificate, new Date()).join()
    }
    assert.equal(await lintOf('with'), '')
    assert.match(await lintOf('without'), /^it has no authority key identifier/)
    assert.deepEqual(lintCaCertificate(new X509Certificate(root.certificatePem), new Date()), [])
  })

  test('reads every extension of a certificate, whatever its lengths', { skip }, async (t) => {
    const names = Array.from({ length: 300 }, (_, index) => `DNS:host-${index}.example`).join(',')
    const certificate = await createCertificate(
      t,
      [...GOOD, `subjectAltName=${names}`, '1.2.840.113556.1.4.1=ASN1:NULL'],
      P256,
    )
    const ids = readExtensions(certificate.raw).map(({ id, isCritical }) => `${id}${isCritical ? '!' : ''}`)
    assert.deepEqual(ids.sort(), ['1.2.840.113556.1.4.1', '2.5.29.14', '2.5.29.15!', '2.5.29.17', '2.5.29.19!'])
  })
})
