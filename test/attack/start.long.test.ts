// A process that is watched from its start, or told at its start to show what it holds, does not read the token: the
// proxy stays off and the token file stays as it was. The same start opens the process where it is not hardened.
// One door a code is tried in start.test.ts.

import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import {
  filesHolding,
  filesIn,
  MARK,
  openStage,
  type Stage,
  TOKEN_FORMS,
  type VictimOptions,
} from '../support/attack.js'
import { debuggersOf } from '../support/attack-debugger.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { SharedScope } from '../support/temp-dir.js'
import { type Door, doorsOf, file, isCore, preload, tryDoor } from './doors.js'

const setup = new SharedScope()
const shared = process.platform === 'linux' ? await openStage(setup) : undefined
after(() => setup.end())

const skip = shared === undefined ? 'only Linux hardens' : false

const TRACE = 'trace.txt'

async function tracers(): Promise<Door[]> {
  const gdb = ['gdb', '-q', '-batch', '-nx', '-iex', 'set debuginfod enabled off', '-ex', 'run', '--args']
  return [
    {
      title: 'strace -f',
      code: 'process-traced',
      start: { under: ['strace', '-f', '-qq', '-s', '4096', '-o', TRACE] },
      control: ({ workingDirectory }) => {
        const trace = join(workingDirectory, TRACE)
        assert.deepEqual(filesHolding([trace], TOKEN_FORMS), [trace])
      },
      skip: (await shared?.canRun('strace', '-V')) ? false : 'strace is not installed',
    },
    {
      title: 'gdb',
      code: 'process-traced',
      start: { under: gdb },
      skip: (await shared?.canRun('gdb', '--version')) ? false : 'gdb is not installed',
    },
  ]
}

const doors = new Map([
  ['node', [...(await tracers()), ...(await doorsOf({ kind: 'node' }))]],
  ['bun', [...(await tracers()), ...(await doorsOf({ kind: 'bun' }))]],
])

describeOnEachRuntime('a start that opens a door', (runtime) => {
  const stage = shared as Stage

  describe('reads no token', { concurrency: 2, skip }, () => {
    for (const door of doors.get(runtime.kind) ?? []) {
      if (isCore(door)) continue
      it(`with ${door.title}: ${door.code}`, { skip: door.skip ?? false }, (t) => tryDoor(t, stage, runtime, door))
    }
  })

  // Bun writes no reports.
  if (runtime.kind === 'node')
    it('with --report-on-signal leaves no report', { skip }, async (t) => {
      const start: VictimOptions = { env: { NODE_OPTIONS: '--report-on-signal --report-signal=SIGUSR2' } }
      const control = await stage.start(t, runtime, { ...start, exposed: true })
      control.process.kill('SIGUSR2')
      await control.process.until(/Node\.js report completed/, 'stderr')
      const reports = filesIn(control.workingDirectory)
      assert.deepEqual(filesHolding(reports, [MARK]), reports)
      const victim = await stage.start(t, runtime, start)
      victim.process.kill('SIGUSR2')
      await victim.process.ended
      assert.deepEqual(filesIn(victim.workingDirectory), [])
    })

  // Node reads no files of the working directory.
  if (runtime.kind === 'bun')
    it('goes on where Bun was told not to read the working directory', { skip }, async (t) => {
      const victim = await stage.start(t, runtime, {
        runtimeOptions: ['--config=/dev/null', '--no-env-file'],
        prepare: (workingDirectory) => {
          preload('preload = ["./evil.js"]').start.prepare?.(workingDirectory)
          file('.env', 'CCR_UPSTREAM_PROXY_LOG=debug')(workingDirectory)
        },
      })
      assert.equal(victim.process.stderr, '')
      assert.deepEqual(await debuggersOf(victim.pid), [])
      assert.ok(!existsSync(victim.session.tokenFile))
      assert.equal(readFileSync(join(victim.workingDirectory, '.env'), 'utf8'), 'CCR_UPSTREAM_PROXY_LOG=debug')
    })
})
