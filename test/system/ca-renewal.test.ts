// A CA that expires is fetched again, and written beside the old one.

import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { describe, test } from 'node:test'
import { createCertificateAuthority } from 'ccr-upstream-gateway'
import { UpstreamProxyError } from '#src/errors.js'
import { createLogger, type LogEntry } from '#src/log.js'
import { CaRenewal } from '#src/system/certificates/ca-renewal.js'

const DAY_SECONDS = 86_400

/** A CA that expires in so many seconds. */
async function createCa(seconds: number): Promise<X509Certificate> {
  const { certificatePem } = await createCertificateAuthority({ days: seconds / DAY_SECONDS })
  return new X509Certificate(certificatePem)
}

/** Renews `first` by what `answers` give in turn, each after a while; resolves when something was written. */
async function renew(first: X509Certificate, answers: readonly (X509Certificate | UpstreamProxyError)[], delayMs = 0) {
  const warnings: LogEntry[] = []
  const logger = createLogger('warn', (entry) => warnings.push(entry))
  let asked = 0
  const download = async (): Promise<readonly X509Certificate[]> => {
    const answer = answers[Math.min(asked++, answers.length - 1)]
    await new Promise((resolve) => setTimeout(resolve, delayMs))
    if (answer instanceof X509Certificate) return [answer]
    throw answer
  }
  let renewal: CaRenewal | undefined
  const written = await new Promise<readonly X509Certificate[]>((resolve) => {
    renewal = new CaRenewal([first], download, resolve, logger)
    // What waits does not keep a process alive by itself.
    const alive = setTimeout(() => resolve([]), 30_000)
    void alive
  })
  renewal?.stop()
  return { written, asked, warnings }
}

// Each waits for a certificate of its own to grow old: at the same time.
describe('the renewal of the CA', { concurrency: true, timeout: 60_000 }, () => {
  test('comes before the old one expires, which stays trusted until then', async () => {
    const [old, young] = await Promise.all([createCa(6), createCa(DAY_SECONDS * 9)])
    const begun = Date.now()
    const { written, asked } = await renew(old, [young])
    assert.deepEqual(written, [old, young])
    assert.equal(asked, 1)
    assert.ok(Date.now() < begun + 6_000)
    assert.ok(Date.now() > begun + 2_000)
  })

  test('is tried again after a failure, with a warning', async () => {
    const [old, young] = await Promise.all([createCa(6), createCa(DAY_SECONDS)])
    const failure = new UpstreamProxyError('gateway-unreachable', 'nobody is there', { side: 'remote' })
    const { written, asked, warnings } = await renew(old, [failure, young])
    assert.equal(asked, 2)
    assert.ok(written.includes(young))
    assert.deepEqual(
      warnings.map(({ code }) => code),
      ['ca-not-renewed'],
    )
    assert.match(warnings[0]?.message ?? '', /nobody is there/)
  })

  test('writes nothing while the gateway hands out the same', async () => {
    const [old, young] = await Promise.all([createCa(4), createCa(DAY_SECONDS)])
    const { written, asked } = await renew(old, [old, young])
    assert.ok(asked >= 2)
    assert.ok(written.includes(young))
  })

  test('drops the old one where it has expired meanwhile', async () => {
    const [old, young] = await Promise.all([createCa(2), createCa(DAY_SECONDS)])
    const { written } = await renew(old, [young], 2_000)
    assert.deepEqual(written, [young])
  })
})
