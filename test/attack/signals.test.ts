// A process of the same user sends the signal that makes a runtime open its debugger; kill(2) asks for nothing but the user. What
// comes while a process starts, and what ends it, is in signals.long.test.ts.

import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { openStage, type Stage } from '../support/attack.js'
import { assertNoDebugger, debuggersOf } from '../support/attack-debugger.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { SharedScope } from '../support/temp-dir.js'

const setup = new SharedScope()
const shared = process.platform === 'linux' ? await openStage(setup) : undefined
after(() => setup.end())

const skip = shared === undefined ? 'only Linux hardens' : false
/** So that every process can open a debugger, whatever else runs on this machine. */
const ANY_PORT = ['--inspect-port=127.0.0.1:0']

describeOnEachRuntime('signals of its own user', (runtime) => {
  const isNode = runtime.kind === 'node'
  const runtimeOptions = isNode ? ANY_PORT : []
  const stage = shared as Stage

  describe('SIGUSR1', { concurrency: 2, skip }, () => {
    // No signal opens the debugger of Bun.
    if (isNode)
      it('opens the debugger of a process that is not hardened', async (t) => {
        const control = await stage.start(t, runtime, { exposed: true, runtimeOptions })
        control.process.kill('SIGUSR1')
        await control.process.until(/Debugger listening on/, 'stderr')
        assert.equal((await debuggersOf(control.pid)).length, 1)
      })

    for (const kind of ['relay', 'library'] as const) {
      it(`opens no debugger in the ${kind}, once or in a burst`, async (t) => {
        const victim = await stage.start(t, runtime, { kind, runtimeOptions })
        victim.process.kill('SIGUSR1')
        await stage.use(victim)
        await assertNoDebugger(victim)
        for (let count = 0; count < 200; count++) victim.process.kill('SIGUSR1')
        for (let turn = 0; turn < 5; turn++) await stage.use(victim)
        await assertNoDebugger(victim)
      })
    }
  })
})
