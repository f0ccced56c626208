// NODE_OPTIONS: how the preload is named, and who can read it.

import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { isReadableByAll, nodeOptions, nodePreloadFile } from '#src/system/children/files/node-options.js'
import { run } from '../support/cli-process.js'
import { createTempDirectory } from '../support/temp-dir.js'

describe('NODE_OPTIONS', () => {
  it('is the preload alone where nothing is inherited', () => {
    assert.equal(nodeOptions(undefined, '/p.cjs'), '--require /p.cjs')
    assert.equal(nodeOptions(' ', '/p.cjs'), '--require /p.cjs')
  })

  it('keeps what is inherited as it stands, and adds the preload at the end', () => {
    const inherited = '--max-old-space-size=4096  --require "/a \\" b.cjs"'
    assert.equal(nodeOptions(inherited, '/p.cjs'), `${inherited} --require /p.cjs`)
  })

  for (const way of ['--require /my\\p.cjs', '--require "/my\\\\p.cjs"', '-r /my\\p.cjs', '--require=/my\\p.cjs']) {
    it(`does not add it to ${way}`, () => {
      assert.equal(nodeOptions(`--a ${way} --b`, '/my\\p.cjs'), `--a ${way} --b`)
    })
  }

  it('adds it where another option only looks like it', () => {
    assert.equal(nodeOptions('--title --require/p.cjs', '/p.cjs'), '--title --require/p.cjs --require /p.cjs')
    assert.equal(nodeOptions('--import /p.cjs', '/p.cjs'), '--import /p.cjs --require /p.cjs')
  })

  it('is read by Node with every character that a path can have, twice the same', async (t) => {
    const folder = join(createTempDirectory(t), `it's a "folder" \\ of $HOME`)
    mkdirSync(folder)
    const file = join(folder, 'preload.cjs')
    writeFileSync(file, 'globalThis.loaded = (globalThis.loaded ?? 0) + 1')
    const once = nodeOptions('--title="a b"', file)
    assert.equal(nodeOptions(once, file), once)
    const outcome = await run(t, process.execPath, ['-p', 'loaded + process.title'], { env: { NODE_OPTIONS: once } })
    assert.equal(outcome.stdout, '1a b\n', outcome.stderr)
  })

  it('can name a file that is there', () => {
    assert.doesNotThrow(() => isReadableByAll(nodePreloadFile()))
    assert.match(nodePreloadFile(), /node-proxy\.cjs$/)
  })
})

describe('a file is readable by all', () => {
  it('when it is, and every folder can be entered', (t) => {
    const folder = createTempDirectory(t)
    const file = join(folder, 'file')
    writeFileSync(file, '')
    chmodSync(folder, 0o711)
    chmodSync(file, 0o644)
    assert.equal(isReadableByAll(file), true)
    chmodSync(file, 0o640)
    assert.equal(isReadableByAll(file), false)
    chmodSync(file, 0o644)
    chmodSync(folder, 0o750)
    assert.equal(isReadableByAll(file), false)
  })

  it('through a symbolic link, when both ways are open', (t) => {
    const folder = createTempDirectory(t)
    const closed = join(folder, 'closed')
    mkdirSync(closed)
    writeFileSync(join(closed, 'file'), '')
    symlinkSync(closed, join(folder, 'link'))
    chmodSync(folder, 0o755)
    assert.equal(isReadableByAll(join(folder, 'link/file')), true)
    chmodSync(closed, 0o700)
    assert.equal(isReadableByAll(join(folder, 'link/file')), false)
  })

  it('not when it is not there', () => {
    assert.equal(isReadableByAll('/nowhere/file'), false)
  })
})
