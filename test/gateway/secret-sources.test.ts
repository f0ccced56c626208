// Sources of secrets by themselves: how often they are looked at, what becomes of a bad value, and that old values go.

import assert from 'node:assert/strict'
import fs, { utimesSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { mock, type TestContext, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { FileSecret } from '#gateway/credentials/secrets/file-secret.js'
import { SecretStore } from '#gateway/credentials/secrets/secret-store.js'
import { createTempDirectory } from '../support/temp-dir.js'
import '../support/watched-process.js'

/** A file with a secret, a clock that a test moves, and the looks at the file since it was asked last. */
function stageFile(context: TestContext, text: string) {
  const folder = createTempDirectory(context, 'secret')
  const path = join(folder, 'key')
  writeFileSync(path, text)
  let nowMs = 1_000
  context.mock.method(performance, 'now', () => nowMs)
  const statSync = mock.method(fs, 'statSync')
  syncBuiltinESMExports()
  context.after(() => {
    statSync.mock.restore()
    syncBuiltinESMExports()
  })
  const looks = () => {
    const count = statSync.mock.calls.filter(({ arguments: [of] }) => of === path).length
    statSync.mock.resetCalls()
    return count
  }
  const passMs = (ms: number) => {
    nowMs += ms
  }
  return { folder, path, looks, passMs }
}

test('a file is looked at once for a request, however many fields have it, and ten times a second at most', (context) => {
  const { folder, looks, passMs } = stageFile(context, 'first')
  const store = new SecretStore({ env: {}, resolvePath: (name) => join(folder, name), named: { key: { file: 'key' } } })
  store.declare('key')
  const fields = [`\${file:key}`, `Bearer \${secret:key}`, `a=\${file:key}; b=\${secret:key}`].map((text) =>
    store.fill(text),
  )
  const request = () => fields.map((field) => field.now().text)
  looks()
  for (let count = 0; count < 1_000; count++) request()
  assert.equal(looks(), 0, 'it was looked at when it was read')
  for (let count = 0; count < 10; count++) {
    passMs(100)
    assert.deepEqual(request(), ['first', 'Bearer first', 'a=first; b=first'])
    request()
    assert.equal(looks(), 1)
  }
})

test('a file that changes is read at the next look; after a 401 that is at once', async (context) => {
  const { path, passMs } = stageFile(context, 'first')
  const secret = new FileSecret(path, () => {})
  writeFileSync(path, 'second!')
  assert.equal(secret.current().reveal(), 'first')
  passMs(100)
  assert.equal(secret.current().reveal(), 'second!')
  writeFileSync(path, 'third')
  await secret.refresh()
  assert.equal(secret.current().reveal(), 'third')
})

test('a file that was written again with the same text has no new value', async (context) => {
  const { path } = stageFile(context, 'the same')
  const secret = new FileSecret(path, () => {})
  const before = secret.current()
  writeFileSync(path, 'the same\n')
  utimesSync(path, 1, 1)
  await secret.refresh()
  assert.equal(secret.current(), before)
})

test('a file that is gone, empty or no header value leaves the last good value, and that is said once', async (context) => {
  const { path } = stageFile(context, 'good')
  const reports: string[] = []
  const secret = new FileSecret(path, (message) => reports.push(message))
  for (const bad of ['', 'two\nlines', 'X'.repeat(70_000)]) {
    writeFileSync(path, bad)
    await secret.refresh()
    assert.equal(secret.current().reveal(), 'good')
  }
  fs.rmSync(path)
  await secret.refresh()
  assert.deepEqual(reports, [`the file ${path} is empty; its last value stays in use`])
  writeFileSync(path, 'better')
  await secret.refresh()
  assert.equal(secret.current().reveal(), 'better')
  assert.deepEqual(reports.slice(1), [`the file ${path} is good again`])
})

test('a value that was replaced is not kept, by the source or by what was made of it', async (context) => {
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  const { folder, path } = stageFile(context, 'first-0123456789')
  const store = new SecretStore({ env: {}, resolvePath: () => join(folder, 'key'), named: {} })
  const template = store.fill(`Bearer \${file:key}`)
  const use = () => {
    const [secret] = template.now().secrets
    assert.equal(secret?.spansIn('x=first-0123456789').length, 1)
    return new WeakRef(secret as object)
  }
  const old = use()
  writeFileSync(path, 'second')
  await template.refresh()
  for (let tries = 0; tries < 100 && old.deref() !== undefined; tries++) {
    await nextTurn()
    collectGarbage()
  }
  assert.equal(old.deref(), undefined)
})
