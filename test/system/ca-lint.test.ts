// What is said of a CA that is good, and of its dates. Those that some clients reject are in ca-lint.long.test.ts.

import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { describe, test } from 'node:test'
import { createCertificateAuthority } from 'ccr-upstream-gateway'
import { lintCaCertificate } from '#src/system/certificates/ca-lint.js'

describe('the lint of a CA', () => {
  test('says when a certificate begins later or ends soon', async () => {
    const certificate = new X509Certificate((await createCertificateAuthority({ days: 9 })).certificatePem)
    const at = (days: number) => lintCaCertificate(certificate, new Date(Date.now() + days * 86_400_000)).join()
    assert.match(at(-61), /is not valid before/)
    assert.equal(at(0), '')
    assert.match(at(8.5), /expires/)
  })

  test("finds nothing in the gateway's own CA", async () => {
    const { certificatePem } = await createCertificateAuthority({})
    assert.deepEqual(lintCaCertificate(new X509Certificate(certificatePem), new Date()), [])
  })
})
