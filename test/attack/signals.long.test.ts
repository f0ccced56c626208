// A process of the same user sends signals while another one starts, and those that make it write a report or dump core; kill(2)
// asks for nothing but the user.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, describe, it, type TestContext } from 'node:test'
import {
  answerOf,
  discard,
  filesHolding,
  filesIn,
  hasTokenFile,
  MARK,
  openStage,
  type RunningVictim,
  type Stage,
  TOKEN_FORMS,
  type Victim,
  whyNoCoreFile,
} from '../support/attack.js'
import { assertNoDebugger } from '../support/attack-debugger.js'
import { describeOnEachRuntime, IS_LARGE, IS_RELAY_LARGE } from '../support/runtimes.js'
import { type Scope, SharedScope } from '../support/temp-dir.js'

const setup = new SharedScope()
const shared = process.platform === 'linux' ? await openStage(setup) : undefined
after(() => setup.end())

const skip = shared === undefined ? 'only Linux hardens' : false
const skipCore = skip || (whyNoCoreFile() ?? false)
const skipLimit = skip || ((await shared?.canRun('python3', '--version')) ? false : 'python3 is not installed')
/** So that every process can open a debugger, whatever else runs on this machine. */
const ANY_PORT = ['--inspect-port=127.0.0.1:0']
const SECRETS = [...TOKEN_FORMS, MARK]

describeOnEachRuntime('signals of its own user', (runtime) => {
  const isNode = runtime.kind === 'node'
  const runtimeOptions = isNode ? ANY_PORT : []
  const stage = shared as Stage

  // Spread over the time in which a runtime starts; the sleep is the attack.
  describe('SIGUSR1 while it starts', { skip }, () => {
    const launches = IS_LARGE ? 40 : 20

    async function launch(t: Scope, delayMs: number): Promise<string> {
      const victim = await stage.launch(t, runtime, { runtimeOptions })
      const timer = setTimeout(() => victim.process.kill('SIGUSR1'), delayMs)
      t.after(() => clearTimeout(timer))
      return endAfter(victim)
    }

    async function endAfter(victim: Victim): Promise<string> {
      const outcome = await outcomeOf(victim)
      await stage.end(victim)
      return outcome
    }

    async function outcomeOf(victim: Victim): Promise<string> {
      const answer = await answerOf(victim).catch(() => undefined)
      if (answer?.enabled) {
        await stage.use(answer)
        await assertNoDebugger({ ...victim, pid: victim.process.pid, port: answer.port })
        return 'went on without a debugger'
      }
      assert.ok(hasTokenFile(victim), 'the token file was touched')
      if (answer === undefined) {
        assert.equal((await victim.process.ended).signal, 'SIGUSR1')
        return 'was ended by the signal'
      }
      assert.equal(answer.code, 'debugger-open')
      return 'stayed off: debugger-open'
    }

    /** Launches two at a time, and says how many came to which end. */
    async function count(t: TestContext, total: number, launchOne: (index: number) => Promise<string>): Promise<void> {
      const outcomes = new Map<string, number>()
      const indices = Array.from({ length: total }, (_, index) => index).values()
      const work = async (): Promise<void> => {
        for (const index of indices) {
          const outcome = await launchOne(index)
          outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
        }
      }
      await Promise.all([work(), work()])
      for (const [outcome, number] of outcomes) t.diagnostic(`${number} ${outcome}`)
    }

    it(`leaves no debugger beside the token, 4 to 62 ms after ${launches} launches`, (t) =>
      count(t, launches, (index) => launch(t, 4 + (index * 58) / (launches - 1))))

    if (IS_RELAY_LARGE)
      it('leaves no debugger beside the token, up to 300 ms after 40 launches', (t) =>
        count(t, 40, (index) => launch(t, 62 + index * 6)))

    // Bun ends at once.
    if (isNode)
      it('leaves no debugger beside the token when it comes just before the handler', (t) =>
        count(t, launches, async () =>
          endAfter(await stage.launch(t, runtime, { kind: 'library', args: ['signal-first'], runtimeOptions })),
        ))
  })

  it('find a core limit of 0, where that of a process that is not hardened is as it was', {
    skip: skipCore,
  }, async (t) => {
    const softCoreLimit = ({ pid }: RunningVictim): string | undefined =>
      /^Max core file size +(\S+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))?.[1]
    assert.notEqual(softCoreLimit(await stage.start(t, runtime, { exposed: true })), '0')
    assert.equal(softCoreLimit(await stage.start(t, runtime)), '0')
  })

  describe('a deadly signal', { concurrency: 2, skip: skipCore }, () => {
    /** Ends a process by `signal`, and gives every file that it left. */
    async function filesAfter(victim: RunningVictim, signal: NodeJS.Signals): Promise<string[]> {
      victim.process.kill(signal)
      const { signal: endedBy } = await victim.process.ended
      assert.equal(endedBy, signal)
      return filesIn(victim.session.directory)
    }

    for (const signal of ['SIGABRT', 'SIGSEGV', 'SIGQUIT'] as const) {
      // One shows that the kernel writes the core where it is looked for.
      if (signal !== 'SIGABRT' && !IS_RELAY_LARGE) continue
      it(`${signal} dumps a process that is not hardened`, async (t) => {
        const files = await filesAfter(await stage.start(t, runtime, { exposed: true }), signal)
        const cores = files.filter((file) => /\/work\/core[^/]*$/.test(file))
        assert.equal(cores.length, 1)
        assert.deepEqual(filesHolding(cores, SECRETS), cores)
        discard(cores)
      })
    }

    for (const signal of ['SIGABRT', 'SIGSEGV', 'SIGQUIT', 'SIGUSR2', 'SIGTRAP', 'SIGSYS'] as const) {
      if (['SIGTRAP', 'SIGSYS'].includes(signal) && !IS_RELAY_LARGE) continue
      it(`${signal} leaves no file with a secret`, async (t) => {
        const victim = await stage.start(t, runtime)
        // For a core file, raised from outside as far as it goes; what comes of it does not matter.
        if (!skipLimit) await stage.attack(t, 'raise-core-limit', victim.pid, SECRETS)
        const files = await filesAfter(victim, signal)
        assert.deepEqual(filesHolding(files, SECRETS), [])
        assert.deepEqual(filesIn(victim.workingDirectory), [])
        // What the relay itself had written, which a killed one leaves behind.
        const others = filesIn(victim.session.temporary)
        assert.deepEqual(
          others.filter(
            (file) =>
              !/\/ccr-upstream-proxy-\w+\/(?:php\/|record\/)?[\w.-]*(?:owner|pem|jks|conf|json|ini|rc)$/.test(file),
          ),
          [],
        )
      })
    }
  })
})
