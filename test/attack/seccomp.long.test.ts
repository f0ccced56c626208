// A container whose seccomp profile denies what hardening needs, or the reading of the token: whatever the kernel answers, the
// proxy stays off, the token stays where it was, and the doctor says which call failed. Costs 8 s of CPU.

import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { checkOf, diagnosisOf, runDoctor } from '../doctor/doctor-process.js'
import { answerOf, hasTokenFile, openStage, type Stage } from '../support/attack.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { createSession } from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'

const DENIER = new URL('../../attack/deny-calls.py', import.meta.url)

const setup = new SharedScope()
const shared = process.platform === 'linux' ? await openStage(setup) : undefined
after(() => setup.end())

const skip = await whyNot()

async function whyNot(): Promise<string | false> {
  if (shared === undefined) return 'only Linux hardens'
  const canFilter = await shared.canRun('python3', shared.actor.programFile(DENIER), 'dumpable', 'EPERM', 'true')
  return canFilter ? false : 'python3 is not installed, or no filter can be set here'
}

/** Runs the rest without /proc; Bun needs that itself. */
const WITHOUT_PROC = [
  ...['unshare', '--user', '--map-root-user', '--mount'],
  ...['sh', '-c', 'mount -t tmpfs none /proc && exec "$@"', 'sh'],
]
const skipProc =
  skip || ((await shared?.canRun('env', ...WITHOUT_PROC, 'true')) ? false : 'no namespace can be made here')

interface Denial {
  /** A name in deny-calls.py. */
  readonly call: string
  readonly error: string
  /** `harden-failed` unless given. */
  readonly code?: string
  readonly said: RegExp
}

const DENIALS: readonly Denial[] = [
  { call: 'dumpable', error: 'EPERM', said: /prctl\(PR_SET_DUMPABLE\) failed \(EPERM\)/ },
  { call: 'dumpable', error: 'ENOSYS', said: /prctl\(PR_SET_DUMPABLE\) failed \(ENOSYS\)/ },
  { call: 'set-dumpable', error: 'EPERM', said: /prctl\(PR_SET_DUMPABLE\) failed \(EPERM\)/ },
  { call: 'get-dumpable', error: 'EPERM', said: /prctl\(PR_GET_DUMPABLE\) failed \(EPERM\)/ },
  { call: 'core-limit', error: 'EPERM', said: /setrlimit\(RLIMIT_CORE\) failed \(EPERM\)/ },
  { call: 'statx', error: 'EPERM', code: 'token-call-denied', said: /cannot be opened or examined \(EPERM\)$/ },
]

describeOnEachRuntime('a seccomp profile', (runtime) => {
  const stage = shared as Stage
  const denying = (call: string, error: string) => ['python3', stage.actor.programFile(DENIER), call, error]

  describe('that denies what it needs keeps the proxy off:', { concurrency: 2, skip }, () => {
    for (const { call, error, code = 'harden-failed', said } of DENIALS) {
      it(`${call} with ${error}`, async (t) => {
        const victim = await stage.launch(t, runtime, { kind: 'library', under: denying(call, error) })
        const answer = await answerOf(victim)
        assert.equal(answer.enabled, false, 'the proxy is on')
        assert.equal(answer.enabled || answer.code, code)
        assert.match(answer.enabled ? '' : answer.reason, said)
        assert.ok(hasTokenFile(victim), 'the token file was touched')
        victim.process.endInput()
        assert.match((await victim.process.ended).stderr, new RegExp(`^ccr-upstream-proxy: warn \\[${code}\\] `, 'm'))
      })
    }

    if (runtime.kind === 'node')
      it('as does a container without /proc', { skip: skipProc }, async (t) => {
        const victim = await stage.launch(t, runtime, { kind: 'library', under: WITHOUT_PROC })
        const answer = await answerOf(victim)
        assert.equal(answer.enabled || answer.code, 'harden-failed')
        assert.ok(hasTokenFile(victim), 'the token file was touched')
      })

    it('and run --require runs no command', async (t) => {
      const under = denying('dumpable', 'EPERM')
      const victim = await stage.launch(t, runtime, { kind: 'run', under, args: ['echo', 'it ran'] })
      const { exitCode, stdout, stderr } = await victim.process.ended
      assert.notEqual(exitCode, 0)
      assert.equal(stdout, '')
      assert.match(stderr, /\[harden-failed\]/)
      assert.ok(hasTokenFile(victim), 'the token file was touched')
    })

    it('and the doctor fails that line', async (t) => {
      const session = createSession(t, stage.actor, stage.system.environment)
      const outcome = await runDoctor(t, {
        session,
        runtimePath: await stage.binaryOf(runtime),
        cliFile: stage.actor.cliFile,
        ids: stage.actor.ids,
        env: { PATH: '/usr/bin:/bin' },
        prefix: denying('dumpable', 'EPERM'),
      })
      const diagnosis = diagnosisOf(outcome)
      const { status, code } = checkOf(diagnosis, 'dumpable')
      assert.deepEqual({ status, code }, { status: 'fail', code: 'harden-failed' })
      assert.equal(checkOf(diagnosis, 'token').status, 'skip')
    })
  })
})
