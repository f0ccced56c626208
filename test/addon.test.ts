// The native addon and its loader. What changes the process, or could hang it, runs in a child.

import assert from 'node:assert/strict'
import { type SpawnSyncOptions, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { type Addon, loadAddon, readLibc, type TokenFileHandle, type TokenFileRefusal } from '#src/addon.js'

const { EACCES, EBADF, EINVAL, ELOOP, ENAMETOOLONG, ENOENT, ERANGE, ESTALE } = constants.errno
const MAX_BYTES = 16_384
const loaderUrl = import.meta.resolve('#src/addon.js')
const prebuiltFolder = join(dirname(fileURLToPath(loaderUrl)), `../prebuilds/${process.platform}-${process.arch}`)

function requireAddon(): Addon {
  const { addon, error } = loadAddon()
  assert.ok(addon, error)
  return addon
}

function createFolder(t: TestContext): string {
  const folder = fs.mkdtempSync(join(tmpdir(), 'addon-test-'))
  t.after(() => {
    fs.chmodSync(folder, 0o700)
    fs.rmSync(folder, { recursive: true })
  })
  return folder
}

function createTokenPath(t: TestContext, content: string | Buffer = 'tok_secret\n'): string {
  const path = join(createFolder(t), 'session_token')
  fs.writeFileSync(path, content, { mode: 0o600 })
  return path
}

/** A token file that every user can read. */
function createSharedToken(t: TestContext, content?: string): string {
  const path = createTokenPath(t, content)
  fs.chmodSync(dirname(path), 0o755)
  fs.chmodSync(path, 0o644)
  return path
}

/** The built addon for the C library that this process runs on, as the runtime itself tells it. */
const { glibcVersionRuntime } = (process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } })
  .header
const libc = glibcVersionRuntime ? 'glibc' : 'musl'
const prebuiltName = `ccr-upstream-proxy.${libc}.node`

/** A copy of the built addon where node-gyp-build finds it below `root`. */
function copyPrebuild(root: string): string {
  const path = join(root, 'prebuilds', `${process.platform}-${process.arch}`, prebuiltName)
  fs.cpSync(join(prebuiltFolder, prebuiltName), path, { recursive: true })
  return path
}

function openToken(path: string): TokenFileHandle {
  const opened = requireAddon().openTokenFile(path, MAX_BYTES)
  if (opened.problem) assert.fail(opened.problem)
  return opened
}

function refuseToken(path: string): TokenFileRefusal {
  const refused = requireAddon().openTokenFile(path, MAX_BYTES)
  if (!refused.problem) assert.fail('it was read')
  return refused
}

function copyToken(handle: TokenFileHandle): string {
  const target = Buffer.alloc(handle.length)
  assert.equal(handle.copyTo(target, 0), handle.length)
  return target.toString('latin1')
}

function runChild(command: string, args: readonly string[], options: SpawnSyncOptions): unknown {
  const { status, signal, stdout, stderr } = spawnSync(command, args, { timeout: 300_000, ...options })
  assert.equal(status, 0, `${signal} ${stderr}`)
  return JSON.parse(stdout.toString())
}

/** Runs a script that prints JSON, with `load` in scope. */
function runWithLoader(script: string, env: Record<string, string> = {}): unknown {
  const whole = `import(${JSON.stringify(loaderUrl)}).then(({ loadAddon: load }) => { ${script} })`
  return runChild(process.execPath, ['-e', whole], { env: { ...process.env, ...env } })
}

const unprivileged = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}

/** Runs a script that prints JSON, with `addon` in scope, by a user who may see nothing but a copy of the addon. */
function runUnprivileged(t: TestContext, script: string, limit = ':'): unknown {
  const folder = createFolder(t)
  const file = copyPrebuild(folder)
  fs.chmodSync(folder, 0o755)
  const whole = `const fs = require('node:fs'); const addonFile = ${JSON.stringify(file)}
    const addon = require(addonFile); ${script}`
  const args = ['-c', `${limit}; exec "$0" "$@"`, process.execPath, '--expose-gc', '-e', whole]
  return runChild('/bin/sh', args, { cwd: folder, ...unprivileged })
}

test('throws a TypeError for arguments of a wrong type', (t) => {
  const addon = requireAddon()
  const handle = openToken(createTokenPath(t))
  const calls: [(...args: unknown[]) => unknown, unknown[]][] = [
    [addon.setDumpable as () => unknown, ['0']],
    [addon.setCoreLimit as () => unknown, ['0']],
    [addon.openTokenFile as () => unknown, [Buffer.from('/'), 1]],
    [addon.openTokenFile as () => unknown, ['/', 0]],
    [addon.openTokenFile as () => unknown, ['/', 1.5]],
    [handle.copyTo as () => unknown, ['text', 0]],
  ]
  for (const [call, args] of calls) assert.throws(() => call.apply(handle, args), TypeError)
})

test('reads a token without its trailing line end and spaces', (t) => {
  for (const content of ['tok_secret', 'tok_secret\n', 'tok_secret\r\n', 'tok_secret \t\r\n\n']) {
    assert.equal(copyToken(openToken(createTokenPath(t, content))), 'tok_secret')
  }
})

test('reads a token of exactly the limit, and of the whole visible ASCII', (t) => {
  assert.equal(openToken(createTokenPath(t, 'x'.repeat(MAX_BYTES))).length, MAX_BYTES)
  const visible = Buffer.from(Array.from({ length: 0x7e - 0x21 + 1 }, (_, index) => 0x21 + index))
  assert.equal(copyToken(openToken(createTokenPath(t, visible))), visible.toString('latin1'))
})

test('tells the facts of the file that fs.stat tells', (t) => {
  const path = createTokenPath(t)
  const { dev, ino, mode, uid } = fs.statSync(path, { bigint: true })
  const handle = openToken(path)
  assert.deepEqual(
    [handle.dev, handle.ino, handle.mode, handle.uid, handle.nlink],
    [dev, ino, Number(mode), Number(uid), 1],
  )
})

test('tells the second link of a hard link', (t) => {
  const path = createTokenPath(t)
  fs.linkSync(path, `${path}.link`)
  assert.equal(openToken(`${path}.link`).nlink, 2)
})

test('refuses a symbolic link', (t) => {
  const path = createTokenPath(t)
  fs.symlinkSync(path, `${path}.link`)
  assert.deepEqual(refuseToken(`${path}.link`), { problem: 'open', errno: -ELOOP })
})

test('refuses a file that is missing, and paths that the system could not take', (t) => {
  const path = createTokenPath(t)
  assert.deepEqual(refuseToken(`${path}.missing`), { problem: 'open', errno: -ENOENT })
  assert.deepEqual(refuseToken(`${path}\0.missing`), { problem: 'open', errno: -EINVAL })
  assert.deepEqual(refuseToken(''), { problem: 'open', errno: -ENOENT })
  for (const length of [4095, 4096, 4097]) {
    assert.deepEqual(refuseToken('/'.padEnd(length, 'x')), { problem: 'open', errno: -ENAMETOOLONG })
  }
})

test('refuses a FIFO without waiting', (t) => {
  const path = join(createFolder(t), 'fifo')
  assert.equal(spawnSync('mkfifo', [path]).status, 0)
  const script = `console.log(JSON.stringify(load().addon.openTokenFile(${JSON.stringify(path)}, 9).problem))`
  assert.equal(runWithLoader(script), 'not-regular')
})

test('refuses a directory and a device, with their facts', () => {
  for (const path of [tmpdir(), '/dev/zero']) {
    const refused = refuseToken(path)
    assert.deepEqual([refused.problem, refused.errno], ['not-regular', 0])
    assert.equal(refused.mode, fs.statSync(path).mode)
  }
})

test('refuses contents that are no token', (t) => {
  const refusals: [string, TokenFileRefusal['problem']][] = [
    ['', 'empty'],
    ['\r\n \t', 'empty'],
    ['x'.repeat(MAX_BYTES + 1), 'too-large'],
    ['x'.repeat(17 * 1024), 'too-large'],
    ['tok\r\nX-Evil: 1', 'charset'],
    ['tok secret', 'charset'],
    [' tok', 'charset'],
    ['tok\0', 'charset'],
    ['\ufefftok', 'charset'],
    ['tök', 'charset'],
    ['tok\x7f', 'charset'],
  ]
  for (const [content, problem] of refusals) {
    const refused = refuseToken(createTokenPath(t, content))
    assert.deepEqual([refused.problem, refused.errno, refused.nlink], [problem, 0, 1], JSON.stringify(content))
  }
})

test('refuses a file of /proc, which says that it is empty', () => {
  assert.equal(refuseToken('/proc/version').problem, 'empty')
})

test('keeps no descriptor of the file', (t) => {
  const path = createTokenPath(t)
  const handle = openToken(path)
  const targets = fs.readdirSync('/proc/self/fd').map((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`)
    } catch {
      return '' // the descriptor of readdir itself
    }
  })
  assert.equal(copyToken(handle), 'tok_secret')
  assert.ok(!targets.includes(path))
})

test('copies the token to the end of a view, and not one byte behind it', (t) => {
  const handle = openToken(createTokenPath(t, 'abc'))
  const memory = Buffer.alloc(8, '.')
  const target = memory.subarray(1, 7)
  assert.equal(handle.copyTo(target, 3), 3)
  for (const offset of [4, 6, 7, -1, 0.5, Number.NaN]) assert.equal(handle.copyTo(target, offset), -ERANGE)
  assert.equal(memory.toString(), '....abc.')
})

test('gives no token after it was wiped, however often', (t) => {
  const handle = openToken(createTokenPath(t))
  const target = Buffer.alloc(32)
  handle.wipe()
  handle.wipe()
  assert.equal(handle.copyTo(target, 0), -EBADF)
  assert.deepEqual(target, Buffer.alloc(32))
})

test('gives nothing from a handle that was constructed and not opened', (t) => {
  const TokenFile = openToken(createTokenPath(t)).constructor as new () => TokenFileHandle
  assert.equal(new TokenFile().copyTo(Buffer.alloc(32), 0), -EBADF)
  assert.equal(new TokenFile().unlink(), -ENOENT)
})

test('unlinks the file and keeps the token', (t) => {
  const path = createTokenPath(t)
  const handle = openToken(path)
  assert.equal(handle.unlink(), 0)
  assert.ok(!fs.existsSync(path))
  assert.equal(copyToken(handle), 'tok_secret')
  assert.equal(handle.unlink(), -ENOENT)
})

test('leaves nothing to read for a descriptor that was opened before unlinking', (t) => {
  const path = createTokenPath(t)
  const descriptor = fs.openSync(path, 'r')
  t.after(() => fs.closeSync(descriptor))
  assert.equal(openToken(path).unlink(), 0)
  assert.equal(fs.readFileSync(descriptor, 'utf8'), '')
})

test('leaves a file alone that took the place of the one that was read', (t) => {
  const path = createTokenPath(t)
  const handle = openToken(path)
  fs.writeFileSync(`${path}.other`, 'other')
  fs.renameSync(`${path}.other`, path)
  assert.equal(handle.unlink(), -ESTALE)
  assert.equal(fs.readFileSync(path, 'utf8'), 'other')
})

test('leaves a symbolic link alone, and the file that was read behind it', (t) => {
  const path = createTokenPath(t)
  const handle = openToken(path)
  fs.renameSync(path, `${path}.moved`)
  fs.symlinkSync(`${path}.moved`, path)
  assert.equal(handle.unlink(), -ESTALE)
  assert.ok(fs.lstatSync(path).isSymbolicLink())
  assert.equal(fs.readFileSync(`${path}.moved`, 'utf8'), 'tok_secret\n')
})

test('empties the file even if its directory does not let it be unlinked', (t) => {
  const path = createTokenPath(t)
  if (unprivileged.uid) fs.chownSync(path, unprivileged.uid, unprivileged.gid)
  fs.chmodSync(dirname(path), 0o555)
  const script = `console.log(addon.openTokenFile(${JSON.stringify(path)}, 99).unlink())`
  assert.equal(runUnprivileged(t, script), -EACCES)
  assert.equal(fs.readFileSync(path, 'utf8'), '')
})

/** The mappings of a process that are excluded both from core dumps and from forked children. */
const PROTECTED_MAPPINGS = `() => fs.readFileSync('/proc/self/smaps', 'utf8').split('\\n')
  .filter((line) => ['VmFlags:', 'dd', 'wf'].every((flag) => line.split(' ').includes(flag))).length`

test('keeps the token out of core dumps and forked children until it is wiped', (t) => {
  const result = runUnprivileged(
    t,
    `const protectedMappings = ${PROTECTED_MAPPINGS}
    const handle = addon.openTokenFile(${JSON.stringify(createSharedToken(t))}, ${MAX_BYTES})
    const whileOpen = protectedMappings()
    handle.wipe()
    console.log(JSON.stringify([whileOpen, protectedMappings()]))`,
  )
  assert.deepEqual(result, [1, 0])
})

test('wipes the token of a handle that was dropped', (t) => {
  const result = runUnprivileged(
    t,
    `const protectedMappings = ${PROTECTED_MAPPINGS}
    addon.openTokenFile(${JSON.stringify(createSharedToken(t))}, ${MAX_BYTES})
    const before = protectedMappings()
    gc()
    setImmediate(() => console.log(JSON.stringify([before, protectedMappings()])))`,
  )
  assert.deepEqual(result, [1, 0])
})

test('leaves no memory behind for a file that it refuses', (t) => {
  const result = runUnprivileged(
    t,
    `const { problem } = addon.openTokenFile(${JSON.stringify(createSharedToken(t, 'tok secret'))}, ${MAX_BYTES})
    console.log(JSON.stringify([problem, (${PROTECTED_MAPPINGS})()]))`,
  )
  assert.deepEqual(result, ['charset', 0])
})

test('locks the memory where that is allowed, and reads the token where it is not', (t) => {
  const script = `
    const handle = addon.openTokenFile(${JSON.stringify(createSharedToken(t))}, ${MAX_BYTES})
    const [, kilobytes] = /^VmLck:\\s*(\\d+)/m.exec(fs.readFileSync('/proc/self/status', 'utf8'))
    console.log(JSON.stringify({ length: handle.length, locked: handle.locked, seen: Number(kilobytes) > 0 }))`
  assert.deepEqual(runUnprivileged(t, script, 'ulimit -l 0'), { length: 10, locked: false, seen: false })
  const { locked, seen } = runUnprivileged(t, script) as { locked: boolean; seen: boolean }
  assert.equal(locked, seen)
})

test('sets dumpable to 0 and 1 and reads it back, and refuses other values', () => {
  const script = `
    const { addon } = load()
    const results = [addon.getDumpable(), addon.setDumpable(0), addon.getDumpable()]
    results.push(addon.setDumpable(2), addon.setDumpable(0.5), addon.getDumpable(), addon.setDumpable(1))
    console.log(JSON.stringify([...results, addon.getDumpable()]))`
  assert.deepEqual(runWithLoader(script), [1, 0, 0, -EINVAL, -EINVAL, 0, 0, 1])
})

test('sets the soft core limit, tells the one before, and leaves the hard one', () => {
  const script = `
    const { addon } = load()
    const limits = () => /^Max core file size +(\\S+) +(\\S+)/m.exec(fs.readFileSync('/proc/self/limits', 'utf8')).slice(1)
    const hard = limits()[1]
    const asNumber = (limit) => limit === 'unlimited' ? null : Number(limit)
    addon.setCoreLimit(Infinity)
    const atMost = limits()
    const before = addon.setCoreLimit(0)
    const none = limits()
    const results = [atMost[0] === hard, (before === Infinity ? null : before) === asNumber(hard), none[0], none[1] === hard]
    console.log(JSON.stringify([...results, addon.setCoreLimit(0), addon.setCoreLimit(-1)]))`
  assert.deepEqual(runWithLoader(script), [true, true, '0', true, 0, -EINVAL])
})

/** What a process of the same user, the victim's own parent, gets when it opens the victim's memory. */
function openMemoryOfVictim(t: TestContext, victimScript: string): unknown {
  return runUnprivileged(
    t,
    `const victimScript = 'const addon = require(process.argv[1]); ${victimScript}; console.log("ready"); process.stdin.resume()'
    const victim = require('node:child_process').spawn(process.execPath, ['-e', victimScript, addonFile])
    victim.stdout.once('data', () => {
      fs.open('/proc/' + victim.pid + '/mem', 'r', (error) => {
        console.log(JSON.stringify(error?.code ?? 'opened'))
        victim.kill()
      })
    })`,
  )
}

test('hides the memory of the process from others of the same user', (t) => {
  assert.equal(openMemoryOfVictim(t, ''), 'opened')
  assert.equal(openMemoryOfVictim(t, 'addon.setDumpable(0)'), 'EACCES')
})

test('loads in a worker as well', async (t) => {
  const path = JSON.stringify(createTokenPath(t))
  const script = `import(${JSON.stringify(loaderUrl)}).then(({ loadAddon }) => {
    const { length } = loadAddon().addon.openTokenFile(${path}, 99)
    require('node:worker_threads').parentPort.postMessage(length)
  })`
  const worker = new Worker(script, { eval: true })
  const length = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  await worker.terminate()
  assert.equal(length, 10)
  assert.equal(openToken(createTokenPath(t)).length, 10)
})

test('tells the C library of an executable by its dynamic linker', (t) => {
  assert.equal(readLibc(), libc)
  assert.equal(readLibc(process.execPath), libc)
  const path = join(createFolder(t), 'executable')
  const linkers: [string, ReturnType<typeof readLibc>][] = [
    ['/lib/ld-musl-x86_64.so.1', 'musl'],
    ['/lib/ld-musl-aarch64.so.1', 'musl'],
    ['/lib64/ld-linux-x86-64.so.2', 'glibc'],
    ['/lib/ld-linux-aarch64.so.1', 'glibc'],
    ['', undefined],
  ]
  for (const [linker, expected] of linkers) {
    fs.writeFileSync(path, `\x7fELF${'\0'.repeat(780)}${linker}\0`)
    assert.equal(readLibc(path), expected)
  }
  assert.equal(readLibc(`${path}.missing`), undefined)
})

test('says that a folder holds no addon', (t) => {
  const { addon, error } = loadAddon(createFolder(t))
  assert.deepEqual([addon, error], [undefined, 'not-found'])
})

test('says that a file is no addon', (t) => {
  const folder = createFolder(t)
  fs.writeFileSync(copyPrebuild(folder), 'no ELF')
  const { addon, error, cause } = loadAddon(folder)
  assert.deepEqual([addon, error], [undefined, 'not-loadable'])
  assert.ok(cause instanceof Error)
})

test('does not follow a link out of the package', (t) => {
  const folder = createFolder(t)
  const path = copyPrebuild(folder)
  fs.renameSync(path, join(folder, 'elsewhere.node'))
  fs.symlinkSync(join(folder, 'elsewhere.node'), path)
  assert.equal(loadAddon(folder).error, 'not-found')
})

test('does not load what lies beside the executable', (t) => {
  const beside = createFolder(t)
  copyPrebuild(beside)
  const script = `
    process.execPath = ${JSON.stringify(join(beside, 'node'))}
    console.log(JSON.stringify(load(${JSON.stringify(createFolder(t))}).error))`
  assert.equal(runWithLoader(script), 'not-found')
})

test('prefers prebuilds/ to a build/ left over from development', (t) => {
  const folder = createFolder(t)
  copyPrebuild(folder)
  fs.mkdirSync(join(folder, 'build/Release'), { recursive: true })
  fs.writeFileSync(join(folder, 'build/Release/addon.node'), 'no ELF')
  assert.ok(loadAddon(folder).addon)
})

/** Variables that would lead node-gyp-build to `elsewhere`, or to a platform that has no file. */
const hostileEnvironment = (elsewhere: string) => ({
  CCR_UPSTREAM_PROXY_PREBUILD: elsewhere,
  PREBUILDS_ONLY: 'yes',
  LIBC: libc === 'glibc' ? 'musl' : 'glibc',
  ARM_VERSION: '6',
  npm_config_arch: 'ia32',
  npm_config_platform: 'win32',
})

const reportLoading = `
  const { addon, error } = load()
  const [file] = Object.keys(require.cache).filter((name) => name.endsWith('.node'))
  console.log(JSON.stringify({ dumpable: addon?.getDumpable(), error, file, left: process.env.LIBC }))`

const expectedLoading = () => ({
  dumpable: 1,
  file: fs.realpathSync(join(prebuiltFolder, prebuiltName)),
  left: hostileEnvironment('').LIBC,
})

test('finds its own file whatever the environment says, and leaves the environment as it was', (t) => {
  const elsewhere = createFolder(t)
  copyPrebuild(elsewhere)
  assert.deepEqual(runWithLoader(reportLoading, hostileEnvironment(elsewhere)), expectedLoading())
})

test('finds its own file after another package evaluated node-gyp-build, and leaves that one alone', (t) => {
  const elsewhere = createFolder(t)
  copyPrebuild(elsewhere)
  const script = `
    const { createRequire } = require('node:module')
    const theirs = createRequire(${JSON.stringify(loaderUrl)})
    const before = theirs('node-gyp-build/node-gyp-build.js')
    ${reportLoading}
    if (theirs('node-gyp-build/node-gyp-build.js') !== before) process.exit(1)`
  assert.deepEqual(runWithLoader(script, hostileEnvironment(elsewhere)), expectedLoading())
})
