// Which certificates count as the machine's own, and what they are said to come from.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { rootCertificates } from 'node:tls'
import { createLogger } from '#src/log.js'
import { readSystemBundle } from '#src/system/certificates/system-bundle.js'
import { createTempDirectory } from '../support/temp-dir.js'

const logger = createLogger('silent')
const sources = {
  systemBundleFile: undefined,
  namedBundleFile: undefined,
  gatewayCaFile: undefined,
  readByRuntime: undefined,
  inherited: { full: [], extra: [] },
}

test("the runtime's own roots stand in for a system that has no bundle, and are named", () => {
  const { source, certificates } = readSystemBundle(sources, () => [], logger)
  assert.match(source, /^the runtime's own roots/)
  assert.equal(certificates.length, new Set(rootCertificates).size)
})

test('the file that the container names comes before the known ones, unless it is empty', (t) => {
  const file = join(createTempDirectory(t), 'named.pem')
  writeFileSync(file, '')
  const withNamed = { ...sources, namedBundleFile: file }
  assert.deepEqual(
    readSystemBundle(withNamed, () => ['PEM'], logger),
    { source: file, certificates: ['PEM'] },
  )
  const { source } = readSystemBundle(withNamed, (path) => (path === file ? [] : ['PEM']), logger)
  assert.notEqual(source, file)
})
