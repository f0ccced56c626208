// Runs the addon under GCC's address, leak and undefined-behaviour sanitizers: a million encoder calls, valid and not, every
// way to open and drop a token file, and the tests of the addon. Needs g++ and `npm run compile`; ends with 1 on a finding.

import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const temporary = mkdtempSync(join(tmpdir(), 'ccr-upstream-proxy-sanitize-'))
const PREBUILD = `prebuilds/linux-${process.arch}/ccr-upstream-proxy.glibc.node`

// As in binding.gyp, but for the libraries of the sanitizers.
const FLAGS = ['-std=c++20', '-fno-exceptions', '-fno-rtti', '-fno-threadsafe-statics', '-fvisibility=hidden', '-fPIC']
const DEFINES = ['-DNAPI_VERSION=8', '-DNODE_ADDON_API_DISABLE_CPP_EXCEPTIONS']
const SANITIZERS = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-fno-omit-frame-pointer', '-O1', '-g']

function run(command, args, options = {}) {
  const { error, status, signal, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', ...options })
  if (error) throw new Error(`${command} does not start (${error.code}); on Debian: apt install g++`)
  if (status !== 0) throw new Error(`${command} ended with ${signal ?? status}:\n${stdout}${stderr}`)
  return stdout + stderr
}

function findNodeHeaders() {
  const prefixes = [dirname(dirname(process.execPath)), process.env.npm_config_nodedir ?? '']
  const folders = prefixes.map((prefix) => join(prefix, 'include/node'))
  const folder = folders.find((path) => existsSync(join(path, 'node_api.h')))
  if (folder === undefined) throw new Error(`node_api.h is missing in ${folders.join(' and ')}`)
  return folder
}

/** A copy of the package whose addon is the sanitized one, so that the loader and the tests take it. */
function createPackage() {
  for (const name of ['package.json', 'dist', 'test/dist'])
    cpSync(join(root, name), join(temporary, name), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(temporary, 'node_modules'))
  const addon = join(temporary, PREBUILD)
  mkdirSync(dirname(addon), { recursive: true })
  const sources = readdirSync(join(root, 'native')).filter((name) => name.endsWith('.cc'))
  const headers = [findNodeHeaders(), createRequire(import.meta.url)('node-addon-api').include_dir.replaceAll('"', '')]
  const linking = ['-shared', `-Wl,--version-script=${join(root, 'native/exports.map')}`, '-o', addon]
  const paths = sources.map((name) => join(root, 'native', name))
  run('g++', [...FLAGS, ...DEFINES, ...SANITIZERS, ...headers.map((path) => `-I${path}`), ...paths, ...linking], {
    cwd: root,
  })
}

/** An addon that leaks when it is loaded: a report without that leak would prove nothing. */
const CONTROL = `#include <node_api.h>
#include <stdlib.h>
static void* volatile memory;
NAPI_MODULE_INIT() {
  memory = malloc(77);
  memory = NULL;
  return exports;
}
`

function createControl() {
  const [source, control] = ['control.c', 'control.node'].map((name) => join(temporary, name))
  writeFileSync(source, CONTROL)
  run('gcc', ['-fPIC', '-shared', ...SANITIZERS, `-I${findNodeHeaders()}`, source, '-o', control])
  return control
}

function sanitizedEnvironment(detectLeaks) {
  const library = run('g++', ['-print-file-name=libasan.so']).trim()
  return {
    ...process.env,
    LD_PRELOAD: library,
    // A leak then ends the process without an error: the report is searched for those that the addon has a part in.
    ASAN_OPTIONS: `detect_leaks=${detectLeaks ? 1 : 0}:detect_stack_use_after_return=1:fast_unwind_on_malloc=1`,
    ...(detectLeaks && { LSAN_OPTIONS: 'exitcode=0' }),
    UBSAN_OPTIONS: 'print_stacktrace=1',
  }
}

/** The stacks of leaks that go through a file; the runtime may keep memory of its own to the end of the process. */
function findLeaks(output, file) {
  const records = output.split(/^(?=(?:Direct|Indirect) leak of )/m).slice(1)
  return records.filter((record) => record.includes(file))
}

function stress() {
  const script = join(root, 'native/sanitize-stress.mjs')
  const args = ['--expose-gc', script, join(temporary, 'dist/addon.js'), temporary, createControl()]
  const output = run(process.execPath, args, { env: sanitizedEnvironment(true), maxBuffer: 2 ** 30 })
  if (!output.includes('stressed')) throw new Error(`the calls did not come to their end:\n${output}`)
  if (findLeaks(output, 'control').length !== 1) throw new Error(`the leak that was made was not found:\n${output}`)
  const leaks = findLeaks(output, PREBUILD)
  if (leaks.length > 0) throw new Error(`${leaks.length} leaks:\n${leaks.join('\n')}`)
}

/** But for the one about mlock(2), in whose place the address sanitizer puts a function that does nothing. */
function test() {
  const file = join(temporary, 'test/dist/addon.test.js')
  // Not without the letter: the file as a whole has the name "<root>", and to select it would select all.
  const args = ['--test', '--test-name-pattern=/^(?!locks the memory)[a-z]/', file]
  const output = run(process.execPath, args, { cwd: temporary, env: sanitizedEnvironment(false), maxBuffer: 2 ** 30 })
  if (!/^(#|ℹ) pass [1-9]\d/m.test(output)) throw new Error(`hardly any test was run:\n${output}`)
}

try {
  createPackage()
  stress()
  console.log('no finding in a million encoder calls and in the token file, no leak')
  test()
  console.log('no finding in the tests of the addon')
} catch (error) {
  console.error(`sanitize: ${error.message}`)
  process.exitCode = 1
} finally {
  rmSync(temporary, { recursive: true, force: true })
}
