// The watch over the process of a test: what it must not miss.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'

const MODULE = new URL('./support/process-watch.js', import.meta.url)

/** How a program ends in which `code` runs under a `watch`. */
async function run(code: string): Promise<{ exitCode: number; stderr: string }> {
  const program = `import { ProcessWatch } from '${MODULE}'; const watch = new ProcessWatch(); ${code}`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'ignore', 'pipe'] })
  const stderr = text(child.stderr)
  const [exitCode] = (await once(child, 'close')) as [number]
  return { exitCode, stderr: await stderr }
}

const CASES: readonly (readonly [title: string, code: string, trace: RegExp])[] = [
  ['a warning', "process.emitWarning('piling up')", /had a warning: Warning: piling up\n +at /],
  [
    'a rejection without a handler',
    "process.on('unhandledRejection', () => {}); Promise.reject(new Error('left'))",
    /had an unhandled rejection: Error: left\n +at /,
  ],
  [
    'an exception that another listener takes',
    "process.on('uncaughtException', () => {}); setTimeout(() => { throw new Error('thrown') })",
    /had an uncaught exception: Error: thrown\n +at /,
  ],
]

for (const [title, code, trace] of CASES) {
  test(`${title} ends the process with 1, and its trace is shown`, async () => {
    const { exitCode, stderr } = await run(code)
    assert.equal(exitCode, 1)
    assert.match(stderr, trace)
  })
}

test('what is asked for is thrown there, once, and a quiet process ends with 0', async () => {
  const asked = await run(
    "process.emitWarning('early'); setImmediate(() => { try { watch.assertQuiet() } catch (error) { console.error('caught', error.message) } watch.assertQuiet() })",
  )
  assert.equal(asked.exitCode, 0)
  assert.match(asked.stderr, /caught the process had a warning: Warning: early\n/)
  assert.equal((await run('watch.assertQuiet()')).exitCode, 0)
})
