// The trust store as every JDK here reads it.

import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { rootCertificates } from 'node:tls'
import { encodeJavaTrustStore } from '#src/system/children/files/java-trust-store.js'
import { run } from '../support/cli-process.js'
import { createTempDirectory } from '../support/temp-dir.js'
import { findJavaHomes } from './java-homes.js'

const roots = rootCertificates.map((pem) => new X509Certificate(pem))

describe('the Java trust store', { timeout: 1_800_000 }, () => {
  const homes = findJavaHomes()
  if (homes.length === 0) it('is read by keytool', { skip: 'no JDK is installed' })
  for (const home of homes) {
    it(`is read whole by keytool of ${home}`, async (t) => {
      const folder = createTempDirectory(t)
      writeFileSync(join(folder, 'trust.jks'), encodeJavaTrustStore(roots))
      const options = ['-list', '-rfc', '-storetype', 'JKS', '-storepass', 'changeit']
      const keytool = join(home, 'bin/keytool')
      const { exitCode, stdout } = await run(t, keytool, [...options, '-keystore', join(folder, 'trust.jks')], {
        env: { LC_ALL: 'C' },
      })
      assert.equal(exitCode, 0, stdout)
      const listed = stdout.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
      const fingerprints = (pems: readonly string[]) =>
        pems.map((pem) => new X509Certificate(pem).fingerprint256).sort()
      assert.deepEqual(fingerprints(listed), fingerprints(rootCertificates))
      assert.equal(stdout.match(/^Entry type: trustedCertEntry$/gm)?.length, roots.length)
    })
  }
})
