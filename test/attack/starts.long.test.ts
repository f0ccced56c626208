// Several starts in one process: what one of them has closed, none of the others opens, whatever becomes of it, in whatever thread
// and of whatever copy of the package; and what the program opens itself is seen before the token's file goes.
// Costs 22 s of CPU.

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { openStage, type Stage, TOKEN_FORMS, type Victim } from '../support/attack.js'
import { describeOnEachRuntime, type TestRuntime } from '../support/runtimes.js'
import { TOKEN } from '../support/system.js'
import { type Scope, SharedScope } from '../support/temp-dir.js'
import type { StartsPlan, StartsReport } from './starts-host.js'

const setup = new SharedScope()
const shared = process.platform === 'linux' ? await openStage(setup) : undefined
after(() => setup.end())

const skip = await whyNot()

async function whyNot(): Promise<string | false> {
  if (shared === undefined) return 'only Linux hardens'
  if (shared.actor.isRoot) return 'root may look into every process'
  return (await shared.canRun('python3', '--version')) ? false : 'python3 is not installed'
}

/** Every other one finds no token, beginning with the first. */
const halfFailing = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => (index % 2 === 0 ? 'missing' : `token-${index}`))

interface Case extends Pick<StartsPlan, 'how' | 'thread'> {
  readonly count: number
  readonly copies?: true
}

const CASES: readonly Case[] = [
  { count: 2, how: 'together', thread: 'worker' },
  { count: 8, how: 'together', thread: 'main' },
  { count: 8, how: 'in-cluster', thread: 'worker' },
  { count: 2, how: 'in-workers', thread: 'worker' },
  { count: 8, how: 'in-workers', thread: 'main' },
  { count: 2, how: 'together', thread: 'main', copies: true },
]

interface Started extends Victim, StartsReport {}

describeOnEachRuntime('several starts in one process', (runtime) => {
  const stage = shared as Stage

  describe('of which every other one fails', { concurrency: 2, skip }, () => {
    for (const { count, how, thread, copies } of CASES) {
      const title = `${count} ${how}, thread: ${thread}${copies ? ', of two copies of the package' : ''}`
      it(`keep out their own user: ${title}`, async (t) => {
        const tokenFiles = halfFailing(count)
        const otherPackageUrl = copies && stage.actor.copyOfPackage(t)
        const plan = { tokenFiles, how, thread, ...(otherPackageUrl && { otherPackageUrl }) }
        const { pid, outcomes } = await startAll(t, stage, runtime, plan)
        assert.deepEqual(
          outcomes,
          tokenFiles.map((file) => (file === 'missing' ? 'token-missing' : 'on')),
        )
        assert.equal(await stage.attack(t, 'memory', pid, TOKEN_FORMS), 'denied EACCES')
        assert.equal(softCoreLimitOf(pid), '0')
      })
    }

    it('are open to it when they are told not to harden', async (t) => {
      const plan = { tokenFiles: halfFailing(2), how: 'together', thread: 'main' } as const
      const { process: child } = await startAll(t, stage, runtime, plan, true)
      assert.equal(await stage.attack(t, 'memory', child.pid, TOKEN_FORMS), 'found')
      assert.notEqual(softCoreLimitOf(child.pid), '0')
    })
  })

  it('leave one listener for the signal of the debugger, and no warning', { skip }, async (t) => {
    const tokenFiles = Array.from({ length: 12 }, (_, index) => `token-${index}`)
    const {
      outcomes,
      listeners,
      process: child,
    } = await startAll(t, stage, runtime, {
      tokenFiles,
      how: 'in-turn',
      thread: 'main',
    })
    assert.deepEqual(outcomes, Array(12).fill('on'))
    assert.equal(listeners, 1)
    child.endInput()
    assert.equal((await child.ended).stderr, '')
  })

  describe('where the program makes its process dumpable again', { concurrency: 2, skip }, () => {
    const open = [
      { opens: 'at-once', how: 'together', thread: 'worker' },
      { opens: 'at-once', how: 'together', thread: 'main' },
      { opens: 'with-ca', how: 'in-turn', thread: 'worker' },
      { opens: 'with-ca', how: 'in-turn', thread: 'main' },
    ] as const
    for (const way of open) {
      it(`is harden-failed, and the token file stays: ${way.opens}, thread: ${way.thread}`, async (t) => {
        const ca = stage.system.gateway.caCertificatePem
        const { outcomes, workingDirectory } = await startAll(t, stage, runtime, { tokenFiles: ['token'], ca, ...way })
        assert.deepEqual(outcomes, ['harden-failed'])
        assert.equal(readFileSync(join(workingDirectory, 'token'), 'utf8'), TOKEN)
      })
    }
  })
})

async function startAll(
  t: Scope,
  stage: Stage,
  runtime: TestRuntime,
  plan: StartsPlan,
  exposed = false,
): Promise<Started> {
  const victim = await stage.launch(t, runtime, {
    kind: 'starts',
    exposed,
    args: [JSON.stringify(plan)],
    prepare: (folder) => writeTokens(stage, folder, plan.tokenFiles),
  })
  const [line] = await victim.process.until(/^\{"outcomes".*$/m)
  return { ...victim, ...(JSON.parse(line) as StartsReport) }
}

function writeTokens(stage: Stage, folder: string, names: readonly string[]): void {
  for (const name of names) {
    if (name === 'missing') continue
    writeFileSync(join(folder, name), TOKEN, { mode: 0o600 })
    stage.actor.own(join(folder, name))
  }
}

function softCoreLimitOf(pid: number): string | undefined {
  return /^Max core file size +(\S+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))?.[1]
}
