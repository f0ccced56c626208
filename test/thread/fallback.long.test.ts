// Where the relay's thread cannot be started, the relay runs in the main thread, and one line of the log says so.

import assert from 'node:assert/strict'
import { cpSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { LogEntry } from '#src/index.js'
import { relayOptions } from '../relay/fixture.js'
import { run } from '../support/cli-process.js'
import { connectHead } from '../support/connect-vectors.js'
import { type RelayStart, startRelayProgram } from '../support/proxy-process.js'
import { connectRaw } from '../support/raw-client.js'
import { describeOnEachRuntime, type TestRuntime } from '../support/runtimes.js'
import { createTempDirectory, type Scope } from '../support/temp-dir.js'
import { startWireGateway } from '../support/wire-gateway.js'

const ROOT = dirname(fileURLToPath(import.meta.resolve('ccr-upstream-proxy/package.json')))

/** A copy of the package, with what runs in the thread as `change` leaves it. */
function copyPackage(scope: Scope, change: (workerFile: string) => void): string {
  const copy = createTempDirectory(scope, 'package')
  for (const name of ['package.json', 'dist', 'prebuilds'])
    cpSync(join(ROOT, name), join(copy, name), { recursive: true })
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
  change(join(copy, 'dist/thread/relay-worker.js'))
  return pathToFileURL(join(copy, 'dist/index.js')).href
}

/** Options that forbid threads and allow all else. */
async function permissionOptions(scope: Scope, { name, path }: TestRuntime): Promise<string[]> {
  const files = ['--allow-fs-read=*', '--allow-fs-write=*']
  const forms = [
    ['--permission', '--allow-addons', '--allow-net'],
    ['--permission', '--allow-addons'],
    ['--experimental-permission', '--allow-addons'],
    ['--experimental-permission'],
  ]
  for (const form of forms) {
    const options = [...form, ...files]
    const { exitCode } = await run(scope, path, [...options, '-e', '0'], { env: { PATH: process.env.PATH } })
    if (exitCode === 0) return options
  }
  throw new Error(`${name} knows none of these options`)
}

describeOnEachRuntime('a relay whose thread cannot be started', (runtime) => {
  async function assertRunsInMain(t: Scope, start: Omit<RelayStart, 'options'>, why: RegExp): Promise<void> {
    const gateway = await startWireGateway()
    t.after(() => gateway.close())
    gateway.scripts.set('echo.example', (tunnel) => tunnel.open())
    const options = { ...relayOptions(gateway), thread: 'worker' }
    const program = await startRelayProgram(t, runtime, { ...start, options })
    const client = await connectRaw(program.port)
    client.write(connectHead('echo.example:443'))
    await client.takeOpening()
    const entries = await program.ask<LogEntry[]>('entries')
    const infos = entries.filter(({ level }) => level !== 'debug')
    assert.equal(infos.length, 1)
    assert.equal(infos[0]?.level, 'info')
    assert.match(infos[0]?.message ?? '', /^the relay runs in the main thread: /)
    assert.match(infos[0]?.message ?? '', why)
    await program.ask('close 0')
    program.endInput()
    assert.equal((await program.ended).exitCode, 0)
  }

  test('because its file is not there, as in a program that was bundled into one file', async (t) => {
    const packageUrl = copyPackage(t, (file) => rmSync(file))
    await assertRunsInMain(t, { packageUrl }, /NOT_FOUND|ModuleNotFound|BuildMessage|ResolveMessage|Error/)
  })

  test('because its code throws', async (t) => {
    const packageUrl = copyPackage(t, (file) => writeFileSync(file, "throw new TypeError('no')"))
    await assertRunsInMain(t, { packageUrl }, /TypeError|Error/)
  })

  test('because its file is another program, which ends', async (t) => {
    const packageUrl = copyPackage(t, (file) => writeFileSync(file, ''))
    await assertRunsInMain(t, { packageUrl }, /it was ended/)
  })

  // Bun has no permissions.
  if (runtime.kind === 'bun') return
  test('because the permissions forbid threads', async (t) => {
    const runtimeOptions = await permissionOptions(t, runtime)
    await assertRunsInMain(t, { runtimeOptions }, /ERR_ACCESS_DENIED/)
  })
})
