// The demo itself, as `npm run demo` starts it after the build.

import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { RunningProcess } from '../support/cli-process.js'
import { createTempDirectory } from '../support/temp-dir.js'

const DEMO = fileURLToPath(new URL('demo.js', import.meta.url))

interface StartedDemo {
  readonly demo: RunningProcess
  /** Its TMPDIR. */
  readonly temporary: string
}

function startDemo(t: TestContext, env: Record<string, string> = {}): StartedDemo {
  const temporary = createTempDirectory(t, 'demo-test')
  const demo = new RunningProcess(t, process.execPath, [DEMO], {
    env: { PATH: process.env.PATH, HOME: temporary, TMPDIR: temporary, CC: 'false', CXX: 'false', ...env },
  })
  return { demo, temporary }
}

/** A folder with nothing but the tools that the demo's own commands take. */
function createToolFolder(t: TestContext): string {
  const folder = join(createTempDirectory(t, 'demo-tools'), 'bin')
  mkdirSync(folder)
  for (const name of ['sh', 'env', 'sort', 'tr', 'cp', 'ls', 'cat', 'head']) {
    const found = process.env.PATH?.split(delimiter).find((path) => isIn(path, name))
    if (found !== undefined) symlinkSync(join(found, name), join(folder, name))
  }
  return folder
}

function isIn(folder: string, name: string): boolean {
  try {
    return readdirSync(folder).includes(name)
  } catch {
    return false
  }
}

test('shows every claim and leaves nothing behind', { timeout: 1_800_000 }, async (t) => {
  const { demo, temporary } = startDemo(t)
  const { exitCode, stdout, stderr } = await demo.ended
  assert.equal(stderr, '')
  assert.equal(exitCode, 0)
  for (const claim of [
    "got the origin's answer, and the origin got the credential",
    'the token file is gone',
    'its environment holds neither the secret nor the token',
    'plain HTTP gets 405',
    'it has the request, with the name of the injected header',
  ]) {
    assert.match(stdout, new RegExp(`✓ .*${claim}`))
  }
  assert.ok(!stdout.includes('\u001b'), 'colour without a terminal')
  assert.deepEqual(readdirSync(temporary), [])
})

test('works without curl and says so', { timeout: 1_800_000 }, async (t) => {
  const { demo, temporary } = startDemo(t, { PATH: createToolFolder(t) })
  const { exitCode, stdout, stderr } = await demo.ended
  assert.equal(stderr, '')
  assert.equal(exitCode, 0)
  assert.match(stdout, /curl is not installed: skipped; the same request by a small Node client/)
  assert.match(stdout, /✓ the client got the origin's answer/)
  assert.deepEqual(readdirSync(temporary), [])
})

test("its shell has none of the packages' commands that npm puts before the others", {
  timeout: 1_800_000,
}, async (t) => {
  const folders = ['/r/node_modules/.bin', '/node_modules/.bin', '/n/node_modules/@npmcli/run-script/lib/node-gyp-bin']
  const PATH = [...folders, process.env.PATH].join(delimiter)
  const temporary = createTempDirectory(t, 'demo-test')
  const env = { PATH, HOME: temporary, TMPDIR: temporary }
  const demo = new RunningProcess(t, process.execPath, [DEMO, '--shell'], { env })
  demo.write('echo "PATH is $PATH"; command -v ccr-upstream-proxy; exit\n')
  const { exitCode, stdout } = await demo.ended
  assert.equal(exitCode, 0)
  assert.match(stdout, /^PATH is \/\S+$/m)
  assert.doesNotMatch(stdout, /node_modules/)
  assert.match(stdout, /\/bin\/ccr-upstream-proxy$/m)
})

test('fails loudly when a claim does not hold', { timeout: 1_800_000 }, async (t) => {
  const tools = createToolFolder(t)
  writeFileSync(join(tools, 'curl'), '#!/bin/sh\necho something else\n')
  chmodSync(join(tools, 'curl'), 0o755)
  const { demo, temporary } = startDemo(t, { PATH: tools })
  const { exitCode, stderr } = await demo.ended
  assert.match(stderr, /^\nThe demo failed: this is not so: curl got the origin's answer/)
  assert.equal(exitCode, 1)
  assert.deepEqual(readdirSync(temporary), [])
})

for (const [signal, exitCode] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`ends what it started on ${signal}`, { timeout: 1_800_000 }, async (t) => {
    const tools = createToolFolder(t)
    // A curl that tells its process id and then stays, so that the signal comes while the proxy runs.
    writeFileSync(join(tools, 'curl'), '#!/bin/sh\n[ "$1" = --version ] || { echo $$ > "$HOME/curl.pid"; exec cat; }\n')
    chmodSync(join(tools, 'curl'), 0o755)
    const { demo, temporary } = startDemo(t, { PATH: tools })
    await demo.until(/3\. A request[^\n]*\n {3}\$ ccr-upstream-proxy run/)
    demo.kill(signal)
    const outcome = await demo.ended
    assert.equal(outcome.stderr, '')
    assert.equal(outcome.exitCode, exitCode)
    assert.deepEqual(readdirSync(temporary), [])
  })
}
