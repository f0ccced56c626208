// The built addon as a file: what it needs of a container, and whether the check notices that it is not native/'s.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const packageRoot = join(dirname(fileURLToPath(import.meta.resolve('#src/addon.js'))), '..')

const prebuiltFiles = fs
  .readdirSync(join(packageRoot, 'prebuilds'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.node'))
  .map((path) => join('prebuilds', path))

/** Copies what the check looks at, so that a test may spoil it. */
function copyPackage(t: TestContext): string {
  const copy = fs.mkdtempSync(join(tmpdir(), 'prebuild-test-'))
  t.after(() => fs.rmSync(copy, { recursive: true }))
  for (const name of ['binding.gyp', 'native', 'prebuilds']) {
    fs.cpSync(join(packageRoot, name), join(copy, name), { recursive: true })
  }
  return copy
}

function check(root: string): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync(process.execPath, [join(root, 'native/prebuild.mjs'), '--check'])
  return { status, stderr: stderr.toString() }
}

for (const path of prebuiltFiles) {
  // Stripped of all other names, the file holds those that the dynamic linker has to find.
  const bytes = fs.readFileSync(join(packageRoot, path))
  const text = bytes.toString('latin1')

  test(`${path} needs no library but the C library`, () => {
    const libraries = new Set(text.match(/\b[\w.+-]+\.so[.\d]*/g))
    assert.deepEqual([...libraries], ['libc.so.6'])
    assert.doesNotMatch(text, /\b_Z\w+/, 'a C++ name')
  })

  test(`${path} needs no C library newer than glibc 2.17`, () => {
    const minors = [...text.matchAll(/GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor))
    assert.ok(minors.length > 0 && Math.max(...minors) <= 17, minors.join(' '))
  })

  test(`${path} is no larger than 96 KiB`, () => {
    assert.ok(bytes.length <= 96 * 1024, `${bytes.length}`)
  })
}

test('accepts the committed prebuilds', (t) => {
  assert.deepEqual(check(copyPackage(t)), { status: 0, stderr: '' })
})

test('notices a changed, an added and a removed source', (t) => {
  const stale = /prebuilds\/ were not built from the present native\/: run npm run prebuild/
  const spoilers: ((root: string) => void)[] = [
    (root) => fs.appendFileSync(join(root, 'native/addon.cc'), '\n'),
    (root) => fs.appendFileSync(join(root, 'binding.gyp'), '\n'),
    (root) => fs.writeFileSync(join(root, 'native/new.h'), ''),
    (root) => fs.rmSync(join(root, 'native/arguments.h')),
  ]
  for (const spoil of spoilers) {
    const root = copyPackage(t)
    spoil(root)
    const { status, stderr } = check(root)
    assert.equal(status, 1)
    assert.match(stderr, stale)
  }
})

test('notices an addon that was changed, added or removed, and a missing manifest', (t) => {
  const [first = ''] = prebuiltFiles
  const spoilers: [(root: string) => void, RegExp][] = [
    [(root) => fs.appendFileSync(join(root, first), '\0'), /not as prebuilds\/SHA256SUMS says: .*\.node/],
    [(root) => fs.cpSync(join(root, first), join(root, `${first}.napi.node`)), /not as .*\.napi\.node/],
    [(root) => fs.rmSync(join(root, first)), /missing: .*\.node/],
    [(root) => fs.rmSync(join(root, 'prebuilds/SHA256SUMS')), /missing: prebuilds\/SHA256SUMS/],
  ]
  for (const [spoil, message] of spoilers) {
    const root = copyPackage(t)
    spoil(root)
    const { status, stderr } = check(root)
    assert.equal(status, 1)
    assert.match(stderr, message)
  }
})
