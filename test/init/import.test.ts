// What a program pays for that imports the package and may never start the proxy.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const PACKAGE = fileURLToPath(new URL('../../../dist/index.js', import.meta.url))

/** Node's own list of what it has loaded of itself. */
const PROGRAM = `
  const before = new Set(process.moduleLoadList)
  await import(${JSON.stringify(PACKAGE)})
  process.stdout.write(JSON.stringify(process.moduleLoadList.filter((name) => !before.has(name))))
`

test('the import loads neither cryptography nor TLS, which are the work of the thread of the relay', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', PROGRAM])
  const loaded = JSON.parse(stdout) as string[]
  assert.ok(loaded.includes('NativeModule worker_threads'), 'the list is no more what it was')
  const heavy = ['NativeModule crypto', 'NativeModule tls', 'NativeModule https']
  assert.deepEqual(
    heavy.filter((name) => loaded.includes(name)),
    [],
  )
})
