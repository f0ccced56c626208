// The addon in Bun: in a worker, and in an executable that has left the package behind.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { runtimes } from './support/runtimes.js'
import { createTempDirectory } from './support/temp-dir.js'

const distFolder = dirname(fileURLToPath(import.meta.resolve('#src/addon.js')))
const bun = runtimes.find(({ kind }) => kind === 'bun')?.path
const skip = bun === undefined && 'Bun is not installed, or not among the runtimes to test'

function run(command: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, timeout: 300_000, encoding: 'utf8' })
  assert.equal(status, 0, stdout + stderr)
  return stdout
}

/** Says whether the addon was loaded, and shows one frame that it made. */
const reportScript = (module: (name: string) => string) => `
  import { loadAddon } from ${module('addon.js')}
  import { createNativeEncodeFrames, selectEncodeFrames } from ${module('protocol/frame.js')}
  const { addon, error } = loadAddon()
  const encodeFrames = addon ? createNativeEncodeFrames(addon, 0) : selectEncodeFrames()
  const buffer = Buffer.from('................Hello')
  const start = 16 - encodeFrames(buffer, 16, 5, 32768, Buffer.from('37fa213d', 'hex'), 0)
  const report = JSON.stringify({ error, dumpable: addon?.getDumpable(), frame: buffer.toString('hex', start) })`

const HELLO = '828737fa213d3dff69585b964e'
const fromDist = (name: string) => JSON.stringify(join(distFolder, name))

test('loads in a worker of Bun as well', { skip }, (t) => {
  const folder = createTempDirectory(t, 'addon-bun')
  fs.writeFileSync(join(folder, 'worker.mjs'), `${reportScript(fromDist)}; postMessage(report)`)
  const main = `${reportScript(fromDist)}
    const worker = new Worker(new URL('./worker.mjs', import.meta.url))
    worker.onmessage = ({ data }) => { console.log(report); console.log(data); worker.terminate() }`
  fs.writeFileSync(join(folder, 'main.mjs'), main)
  const expected = JSON.stringify({ dumpable: 1, frame: HELLO })
  assert.equal(run(bun ?? '', ['main.mjs'], folder), `${expected}\n${expected}\n`)
})

/** Compiles a program against a copy of the package, moves it away and removes the copy. */
function compile(folder: string): string {
  const copy = join(folder, 'package')
  const program = join(folder, 'moved', 'program')
  for (const name of ['dist', 'prebuilds'])
    fs.cpSync(join(distFolder, '..', name), join(copy, name), { recursive: true })
  const fromCopy = (name: string) => JSON.stringify(`./dist/${name}`)
  fs.writeFileSync(join(copy, 'main.mjs'), `${reportScript(fromCopy)}; console.log(report)`)
  fs.mkdirSync(dirname(program))
  run(bun ?? '', ['build', '--compile', 'main.mjs', '--outfile', 'program'], copy)
  fs.renameSync(join(copy, 'program'), program)
  fs.rmSync(copy, { recursive: true })
  return program
}

test('loads in an executable that Bun compiled, after the package is gone', { skip }, (t) => {
  const program = compile(createTempDirectory(t, 'addon-bun'))
  assert.deepEqual(JSON.parse(run(program, [], '/')), { dumpable: 1, frame: HELLO })
})
