// What the runner of the tests prints and how it ends, with test files that fail, are skipped, and pass.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createTempDirectory, SharedScope } from './support/temp-dir.js'

const RUN_FILES = fileURLToPath(new URL('../run-files.mjs', import.meta.url))

/** Test files by their names. */
const SOURCES = {
  'skips.mjs': `it('waits', { skip: 'no tool' }, () => {})\ndescribe('all of it', { skip: 'no tool either' }, () => {})\n`,
  'fails.mjs': `describe('a suite', () => {\n  it('fails', () => { throw new Error('on purpose') })\n})\n`,
  'throws.mjs': `const { decodeChunk } = await import('${import.meta.resolve('#src/protocol/chunk.js')}')
it('decodes', () => decodeChunk(Buffer.from('ff', 'hex')))\n`,
  'ends.mjs': `it('has no fault', () => {})\nprocess.on('exit', () => { process.exitCode = 3 })\n`,
  'passes.mjs': `it('passes', () => {})\n`,
}
type Name = keyof typeof SOURCES

describe('the runner', () => {
  const scope = new SharedScope()
  const folder = createTempDirectory(scope, 'runner')
  for (const [name, text] of Object.entries(SOURCES))
    writeFileSync(join(folder, name), `import { describe, it } from 'node:test'\n${text}`)
  after(() => scope.end())

  function run(names: readonly Name[], env: Record<string, string> = {}): { status: number | null; stdout: string } {
    const args = ['--enable-source-maps', RUN_FILES, '2', ...names.map((name) => join(folder, name))]
    // Without what says that this is a test itself.
    const options = { env: { PATH: process.env.PATH, ...env }, cwd: folder, encoding: 'utf8' } as const
    return spawnSync(process.execPath, args, options)
  }

  test('names last what was skipped, with the reason, and what failed, with the line', () => {
    const { status, stdout } = run(['skips.mjs', 'fails.mjs', 'throws.mjs', 'ends.mjs', 'passes.mjs'])
    const summary = [
      'skipped:',
      '﹣ skips.mjs:2: waits (no tool)',
      '﹣ skips.mjs:3: all of it (no tool either)',
      '',
      'failed:',
      '✖ fails.mjs:3: a suite › fails',
      '✖ throws.mjs:3: decodes',
      `✖ ends.mjs:1: ${join(folder, 'ends.mjs')}`,
      '',
    ]
    assert.equal(stdout.slice(stdout.indexOf('\nskipped:\n') + 1), summary.join('\n'))
    assert.match(stdout, /^ℹ pass 2\nℹ fail 3\n/m)
    assert.match(stdout, /\/src\/protocol\/chunk\.ts:\d+:\d+/, 'the trace leads to the source')
    assert.doesNotMatch(stdout, /\/dist\/protocol\//)
    assert.equal(status, 1)
  })

  test('takes a skipped suite for a failure where nothing may be skipped', () => {
    assert.equal(run(['skips.mjs'], { CCR_TEST_SKIPS: 'fail' }).status, 1)
    assert.equal(run(['skips.mjs']).status, 0)
    assert.equal(run(['passes.mjs'], { CCR_TEST_SKIPS: 'fail' }).status, 0)
  })
})
