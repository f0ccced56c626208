// An audit whose reader stands still: the gateway goes on, and ends when it is told to.

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { LineWriter } from 'ccr-upstream-gateway'
import { untilListening } from '../support/program.js'
import { createTempDirectory } from '../support/temp-dir.js'
import { CREDENTIALS, startGateway } from './fixture.js'
import { connect } from './wire-client.js'

const MAIN = fileURLToPath(new URL('../../../gateway/dist/cli/main.js', import.meta.url))

/** A pipe with room for nothing, from which nobody reads; `empty` reads all of it. */
function fullPipe(context: TestContext): { path: string; empty: () => void } {
  const path = join(createTempDirectory(context), 'pipe')
  assert.equal(spawnSync('mkfifo', [path]).status, 0)
  const descriptor = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  context.after(() => closeSync(descriptor))
  for (const bytes of [4_096, 1]) {
    while (isDone(() => writeSync(descriptor, Buffer.alloc(bytes, '.'))));
  }
  const buffer = Buffer.alloc(65_536)
  return { path, empty: () => void isDone(() => readSync(descriptor, buffer)) }
}

function isDone(step: () => unknown): boolean {
  try {
    step()
    return true
  } catch {
    return false
  }
}

function openToWrite(context: TestContext, path: string): number {
  const descriptor = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
  context.after(() => closeSync(descriptor))
  return descriptor
}

test('closing waits for a reader that stands still no longer than its time, and counts what it did not take', async (context) => {
  const descriptor = openToWrite(context, fullPipe(context).path)
  const warnings: string[] = []
  const writer = new LineWriter({ descriptor }, (message) => warnings.push(message))
  for (let count = 0; count < 2_000; count++) writer.write(`${'x'.repeat(99)}\n`)
  await writer.close()
  assert.equal(writer.lost, 2_000)
  assert.equal(warnings.at(-1), 'audit lines that were not taken before the end: 2000')
})

test('closing waits for a reader that begins to read again', async (context) => {
  const { path, empty } = fullPipe(context)
  const writer = new LineWriter({ descriptor: openToWrite(context, path) }, assert.fail)
  for (let count = 0; count < 10; count++) writer.write('a line\n')
  const closed = writer.close()
  await delay(50)
  empty()
  await closed
  assert.equal(writer.lost, 0)
})

test('SIGTERM ends a gateway whose stdout nobody reads, and whose stderr nobody reads either', async (context) => {
  const gateway = await startGateway(context)
  // An address of this process's own, for nobody could be told which port was free.
  const [host, port] = [`127.78.${(process.pid >> 8) & 0xff}.${process.pid & 0xff}`, 8_443]
  gateway.put('serve.json', gateway.configTextWith({ listen: `${host}:${port}`, default: 'deny', hosts: {} }))
  const { path } = fullPipe(context)
  for (const isStderrRead of [true, false]) {
    // A description of its own, and blocking: what a supervisor hands over.
    const stdout = openSync(path, constants.O_WRONLY)
    context.after(() => closeSync(stdout))
    const child = spawn(process.execPath, [MAIN, 'serve', '--config', 'serve.json'], {
      cwd: gateway.folder,
      stdio: ['ignore', stdout, isStderrRead ? 'pipe' : stdout],
    })
    context.after(() => child.kill('SIGKILL'))
    const said = child.stderr === null ? Promise.resolve('') : text(child.stderr)
    await untilListening(child, port, host)
    const { status } = await connect(`ws://${host}:${port}/upstreamproxy/ws`, CREDENTIALS, 'nobody.example.com:443')
    assert.equal(status, 403)
    child.kill('SIGTERM')
    assert.deepEqual(await once(child, 'exit'), [0, null])
    if (isStderrRead) assert.match(await said, /audit lines that were not taken before the end: 1$/m)
  }
})
