// The built addon as a file: what it needs of a container, and whether the check notices that it is not native/'s.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { readElf } from './support/elf.js'

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

/** All that the addon calls outside Node-API. musl has each, and glibc has had each since 2.17 at the latest. */
const LIBC_FUNCTIONS = [
  ...['__errno_location', '__stack_chk_fail', '__stack_chk_guard', 'abort', 'close', 'free', 'fstat', 'ftruncate'],
  ...['lstat', 'madvise', 'malloc', 'memcpy', 'memset', 'mlock', 'mmap', 'munmap', 'open', 'prctl', 'read', 'strlen'],
  ...['getrlimit', 'getrlimit64', 'setrlimit', 'setrlimit64', 'syscall', 'unlink'],
]

/** Of the compiler's start files; the dynamic linker does without. */
const WEAK_SYMBOLS = ['_ITM_deregisterTMCloneTable', '_ITM_registerTMCloneTable', '__cxa_finalize', '__gmon_start__']

/** glibc keeps the stack's guard in its dynamic linker on arm64. */
const GLIBC_LIBRARIES: Record<string, string[]> = {
  'linux-x64': ['libc.so.6'],
  'linux-arm64': ['ld-linux-aarch64.so.1', 'libc.so.6'],
}

const MACHINES: Record<string, number> = { 'linux-x64': 62, 'linux-arm64': 183 }

test('the published package has no file that npm takes for an order to compile', () => {
  // npm's manual, scripts(7): binding.gyp in the root of a package is one.
  const { files } = JSON.parse(fs.readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { files: string[] }
  assert.ok(files.every((path) => !['binding.gyp', 'native', '*'].includes(path)))
})

test('there is an addon for each architecture and C library', () => {
  const names = ['linux-arm64', 'linux-x64'].flatMap((platform) =>
    ['glibc', 'musl'].map((libc) => `prebuilds/${platform}/ccr-upstream-proxy.${libc}.node`),
  )
  assert.deepEqual([...prebuiltFiles].sort(), names)
})

for (const path of prebuiltFiles) {
  const bytes = fs.readFileSync(join(packageRoot, path))
  const platform = basename(dirname(path))
  const isMusl = path.endsWith('.musl.node')
  const elf = readElf(bytes)

  test(`${path} is for that platform, and no larger than 96 KiB`, () => {
    assert.equal(elf.machine, MACHINES[platform])
    assert.ok(bytes.length <= 96 * 1024, `${bytes.length}`)
  })

  test(`${path} needs no library but the C library`, () => {
    assert.deepEqual([...elf.needed].sort(), isMusl ? [] : GLIBC_LIBRARIES[platform])
  })

  test(`${path} needs no C library newer than glibc 2.17`, () => {
    const minors = elf.versions.map((version) => Number(/^GLIBC_2\.(\d+)/.exec(version)?.[1]))
    assert.ok(isMusl ? minors.length === 0 : minors.length > 0)
    assert.ok(
      minors.every((minor) => minor <= 17),
      elf.versions.join(' '),
    )
  })

  test(`${path} calls what every C library has, and Node-API`, () => {
    const outside = elf.undefinedSymbols.filter((name) => !name.startsWith('napi_') && !WEAK_SYMBOLS.includes(name))
    // glibc's names for the same functions with 64-bit offsets.
    const names = isMusl ? outside : outside.map((name) => name.replace(/^(open|mmap|ftruncate)64$/, '$1'))
    assert.deepEqual(
      names.filter((name) => !LIBC_FUNCTIONS.includes(name)),
      [],
    )
  })

  test(`${path} shows what a runtime looks up, and nothing else`, () => {
    const names = ['napi_register_module_v1', 'node_api_module_get_api_version_v1']
    assert.deepEqual([...elf.definedSymbols].sort(), names)
  })

  test(`${path} is resolved when it is loaded, and hardened`, () => {
    assert.ok(elf.bindsNow)
    assert.ok(elf.hasReadOnlyRelocations)
    assert.ok(!elf.hasExecutableStack)
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
