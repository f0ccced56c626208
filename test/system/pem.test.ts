// PEM bundles: what is known without parsing must come out as if it had been parsed.

import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { describe, it } from 'node:test'
import { rootCertificates } from 'node:tls'
import {
  checkCertificates,
  derOfCertificates,
  formatCertificates,
  parseCertificates,
} from '#src/system/certificates/pem.js'
import { createTestCa } from '../support/test-ca.js'

const [known = ''] = rootCertificates

describe('the text of a bundle', () => {
  it('is the same for every root of the runtime as if it had been parsed', () => {
    const bundle = rootCertificates.join('\n')
    const parsed = parseCertificates(bundle).certificates.map(String)
    assert.deepEqual(checkCertificates(bundle), { certificates: parsed, broken: 0 })
  })

  it('is the same in whatever lines and between whatever labels a root stands', () => {
    const expected = { certificates: [String(new X509Certificate(known))], broken: 0 }
    const oneLine = known.replace(/\n(?!-)(?<!-----\n)/g, '')
    for (const written of [
      known.replaceAll('\n', '\r\n'),
      oneLine,
      known.replaceAll('CERTIFICATE', 'X509 CERTIFICATE'),
    ])
      assert.deepEqual(checkCertificates(`# comment\n${written}\n`), expected)
  })

  it('has a certificate that is not of the runtime, and none that does not parse', async () => {
    const { rootPem } = await createTestCa('unknown root')
    const cut = known.replace(/\n[^\n]+\n-----END/, '\n-----END')
    const empty = '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----'
    const { certificates, broken } = checkCertificates([known, cut, rootPem, empty].join('\n'))
    assert.deepEqual(
      certificates,
      [known, rootPem].map((pem) => String(new X509Certificate(pem))),
    )
    assert.equal(broken, 2)
  })
})

describe('certificates, parsed or as text', () => {
  const certificates = [new X509Certificate(known), ...checkCertificates(rootCertificates.join('\n')).certificates]

  it('are written once each, in order', () => {
    assert.equal(formatCertificates(certificates), formatCertificates(certificates.slice(1)))
    assert.deepEqual(
      parseCertificates(formatCertificates(certificates)).certificates.map(({ fingerprint256 }) => fingerprint256),
      rootCertificates.map((pem) => new X509Certificate(pem).fingerprint256),
    )
  })

  it('are the DER that a parser has', () => {
    const parsed = rootCertificates.map((pem) => new X509Certificate(pem).raw)
    assert.deepEqual(derOfCertificates(certificates), parsed)
  })
})
