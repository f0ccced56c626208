// The token is in no place that is meant to be read: environments, command lines, logs, files. What a program can print is in
// secrecy.long.test.ts; that the search would find it is shown in memory.long.test.ts, where root finds it in the memory of the same
// processes.

import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import {
  answerOf,
  filesHolding,
  filesIn,
  formsIn,
  openStage,
  refusalOf,
  type Stage,
  TOKEN_FORMS,
} from '../support/attack.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { DENIED_AUTHORITY } from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'

const setup = new SharedScope()
const shared = process.platform === 'linux' ? await openStage(setup) : undefined
after(() => setup.end())

const skip = shared === undefined ? 'only Linux hardens' : false

describeOnEachRuntime('the token', (runtime) => {
  const stage = shared as Stage
  const DEBUG = { CCR_UPSTREAM_PROXY_LOG: 'debug' }

  describe('is nowhere', { concurrency: 2, skip }, () => {
    it('in the output and the files of a relay that logs all it can', async (t) => {
      const victim = await stage.launch(t, runtime, { env: DEBUG })
      const answer = await answerOf(victim)
      assert.ok(answer.enabled)
      await stage.use(answer)
      const refusal = await refusalOf(answer, DENIED_AUTHORITY)
      assert.match(refusal, /^HTTP\/1\.1 403 /)
      const files = filesIn(victim.session.directory)
      assert.ok(files.some((name) => name.endsWith('.pem')))
      assert.deepEqual(filesHolding(files, TOKEN_FORMS), [])
      victim.process.kill('SIGTERM')
      const { stdout, stderr } = await victim.process.ended
      assert.match(stderr, / debug /)
      assert.deepEqual(formsIn(refusal + stdout + stderr), [])
      assert.deepEqual(filesHolding(filesIn(victim.session.directory), TOKEN_FORMS), [])
    })

    it('in the environment and the command line of a child, nor of its parent', async (t) => {
      const script =
        'tr "\\0" "\\n" </proc/self/environ; cat /proc/self/cmdline /proc/$PPID/cmdline; cat /proc/$PPID/environ'
      const victim = await stage.launch(t, runtime, { kind: 'run', args: ['sh', '-c', script], env: DEBUG })
      const { exitCode, stdout, stderr } = await victim.process.ended
      assert.match(stdout, /^HTTPS_PROXY=http:\/\/127\.0\.0\.1:\d+$/m)
      assert.ok(stdout.includes(stage.actor.cliFile), 'the command line of the parent is there')
      assert.deepEqual(formsIn(stdout + stderr), [])
      assert.match(stderr, /\/environ: Permission denied/)
      assert.equal(exitCode, 1)
    })
  })
})
