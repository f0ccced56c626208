// What native/sanitize.mjs runs under the sanitizers: sanitize-stress.mjs ADDON_MODULE FOLDER LEAKING_ADDON. Memory
// comes in blocks of exactly the length that the addon is told, so that one byte too far is seen.

import assert from 'node:assert/strict'
import { chmodSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'

const [, , addonModule, folder, leakingAddon] = process.argv
const { addon, error, cause } = (await import(addonModule)).loadAddon()
if (!addon) throw new Error(`${error}: ${cause}`)

const { EINVAL, ERANGE } = constants.errno
const CALLS = 1_000_000
const BLOCKS = 2_000
const TOKEN_ROUNDS = 300

const pick = (below) => Math.floor(Math.random() * below)
const oneOf = (values) => values[pick(values.length)]

// -- The encoder -------------------------------------------------------------------------------------------------------

const INVALID = [
  -1,
  0.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  -0.1,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  2 ** 64,
  Number.MAX_VALUE,
]

/** An ArrayBuffer is always outside of V8's heap, where the sanitizer guards both of its ends. */
const createBlock = () => new Uint8Array(new ArrayBuffer(oneOf([pick(100), pick(1_000), pick(10_000), pick(80_000)])))

/** As often as not exactly at the ends of the blocks, or one byte beyond. */
function pickValidish(buffer, keys) {
  const limit = oneOf([32_768, 0x7fff_ffff, 3 + pick(5), 3 + pick(500)])
  const offset = pick(buffer.length + 2)
  const length = oneOf([buffer.length - offset, pick(buffer.length + 2), pick(10)])
  return [buffer, offset, Math.max(0, length), limit, keys, oneOf([0, pick(keys.length + 2)])]
}

function spoil(args) {
  return args.with(oneOf([1, 2, 3, 5]), oneOf(INVALID))
}

function stressEncoder() {
  const blocks = Array.from({ length: BLOCKS }, createBlock)
  const results = { encoded: 0, outOfRange: 0, invalid: 0 }
  for (let call = 0; call < CALLS; call++) {
    const args = pickValidish(oneOf(blocks), oneOf(blocks))
    const result = addon.encodeFrames(...(pick(10) === 0 ? spoil(args) : args))
    assert.ok(result >= 0 || result === -EINVAL || result === -ERANGE, `${result}`)
    results[result >= 0 ? 'encoded' : result === -EINVAL ? 'invalid' : 'outOfRange']++
  }
  // Every outcome has to be met often, else the arguments are badly chosen.
  for (const [outcome, count] of Object.entries(results)) assert.ok(count > CALLS / 50, `${outcome}: ${count}`)
}

function stressArgumentTypes() {
  const valid = [new Uint8Array(200), 100, 100, 32_768, new Uint8Array(4), 0]
  for (const wrong of [
    undefined,
    null,
    'text',
    {},
    new Uint16Array(100),
    new DataView(new ArrayBuffer(9)),
    1n,
    () => {},
  ]) {
    for (const index of valid.keys()) assert.throws(() => addon.encodeFrames(...valid.with(index, wrong)), TypeError)
    assert.throws(() => addon.openTokenFile(wrong === 'text' ? 1 : wrong, 1), TypeError)
  }
  const given = new Uint8Array(200)
  structuredClone(given.buffer, { transfer: [given.buffer] })
  assert.equal(addon.encodeFrames(given, 100, 100, 32_768, new Uint8Array(4), 0), -ERANGE)
  assert.equal(addon.setDumpable(2), -EINVAL)
  assert.equal(addon.getDumpable(), 1)
}

// -- The token file ----------------------------------------------------------------------------------------------------

function writeToken(name, content, mode = 0o600) {
  const path = join(folder, name)
  rmSync(path, { recursive: true, force: true })
  writeFileSync(path, content)
  chmodSync(path, mode)
  return path
}

function stressReadable() {
  const token = addon.openTokenFile(writeToken('token', oneOf(['t', 'tok_secret \r\n', 'x'.repeat(16_384)])), 16_384)
  assert.equal(token.problem, undefined)
  const target = new Uint8Array(new ArrayBuffer(token.length + pick(3)))
  for (const offset of [0, target.length - token.length, 1, target.length + 1, ...INVALID]) token.copyTo(target, offset)
  const ending = pick(5)
  if (ending < 2) token.unlink()
  if (ending > 2) token.wipe()
  if (ending === 4) token.wipe()
  token.copyTo(target, 0)
  // Half of them are dropped with the token in them; the collector wipes those.
}

function stressRefused() {
  for (const content of ['', ' \r\n', 'x'.repeat(16_385), 'x'.repeat(20_000), 'a b', 'a\0', 'ä', '\x7f']) {
    assert.ok(addon.openTokenFile(writeToken('refused', content), 16_384).problem)
  }
  const path = writeToken('token', 'tok_secret')
  rmSync(`${path}.link`, { force: true })
  symlinkSync(path, `${path}.link`)
  for (const refused of [`${path}.link`, `${path}.none`, folder, '/dev/zero', '/proc/version', '', 'a\0b']) {
    assert.ok(addon.openTokenFile(refused, 16_384).problem)
  }
  for (const length of [4_095, 4_096, 4_097, 10_000]) assert.ok(addon.openTokenFile('/'.padEnd(length, 'ä'), 9).problem)
}

function stressReplaced() {
  const path = writeToken('token', 'tok_secret')
  const token = addon.openTokenFile(path, 16_384)
  renameSync(writeToken('other', 'other'), path)
  assert.ok(token.unlink() < 0)
  rmSync(path)
  assert.ok(token.unlink() < 0)
  mkdirSync(path)
  assert.ok(token.unlink() < 0)
  const linked = writeToken('linked', 'tok_secret')
  rmSync(`${linked}.link`, { force: true })
  linkSync(linked, `${linked}.link`)
  assert.equal(addon.openTokenFile(linked, 16_384).nlink, 2)
  const TokenFile = token.constructor
  new TokenFile().copyTo(new Uint8Array(1), 0)
  new TokenFile().unlink()
}

const protectedMappings = () =>
  readFileSync('/proc/self/smaps', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('VmFlags:') && /\bdd\b.*\bwf\b/.test(line)).length

/** The environment of a worker ends: what it kept is given back. */
async function stressWorker() {
  const source = `const { parentPort } = require('node:worker_threads')
    import(${JSON.stringify(addonModule)}).then(({ loadAddon }) => {
      const { addon } = loadAddon()
      globalThis.kept = addon.openTokenFile(${JSON.stringify(writeToken('worker', 'tok_secret', 0o644))}, 99)
      parentPort.postMessage(addon.encodeFrames(new Uint8Array(99), 20, 79, 32768, new Uint8Array(4), 0))
    })`
  const worker = new Worker(source, { eval: true })
  await new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject))
}

createRequire(import.meta.url)(leakingAddon)
stressEncoder()
stressArgumentTypes()
for (let round = 0; round < TOKEN_ROUNDS; round++) {
  stressReadable()
  stressRefused()
  stressReplaced()
}
for (let round = 0; round < 5; round++) await stressWorker()
for (let round = 0; round < 5; round++) {
  globalThis.gc()
  await new Promise(setImmediate)
}
assert.equal(protectedMappings(), 0, 'mappings of tokens are left')
console.log('stressed')
