// The token is in no place that is meant to be read: errors, warnings, objects that a program can print, and what root sees besides
// memory.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { answerOf, formsIn, MARK, openStage, refusalOf, type Stage } from '../support/attack.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { RULED_HOST, TOKEN } from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'

const setup = new SharedScope()
const shared = process.platform === 'linux' ? await openStage(setup) : undefined
after(() => setup.end())

const skip = shared === undefined ? 'only Linux hardens' : false
const skipRoot = skip || (process.getuid?.() === 0 ? false : 'only root may look into the process')

describeOnEachRuntime('the token', (runtime) => {
  const stage = shared as Stage
  const DEBUG = { CCR_UPSTREAM_PROXY_LOG: 'debug' }

  describe('is nowhere', { concurrency: 2, skip }, () => {
    it('in what a relay says that its gateway does not take', async (t) => {
      const env = { ...DEBUG, CCR_UPSTREAM_PROXY_TUNNEL_PATH: '/nowhere' }
      const victim = await stage.launch(t, runtime, { env })
      const answer = await answerOf(victim)
      assert.ok(answer.enabled)
      const refusal = await refusalOf(answer, `${RULED_HOST}:443`)
      assert.match(refusal, /"code":"gateway-/)
      victim.process.kill('SIGTERM')
      const { stdout, stderr } = await victim.process.ended
      assert.deepEqual(formsIn(refusal + stdout + stderr), [])
    })

    it('in a warning about a token that is not well-formed', async (t) => {
      const malformed = (workingDirectory: string): void =>
        writeFileSync(join(workingDirectory, '../session_token'), `${TOKEN}\nX-Evil: ${TOKEN}\n`)
      const victim = await stage.launch(t, runtime, { env: DEBUG, prepare: malformed })
      const answer = await answerOf(victim)
      assert.equal(answer.enabled || answer.code, 'token-malformed')
      const { stdout, stderr } = await victim.process.ended
      assert.deepEqual(formsIn(stdout + stderr), [])
    })

    it('in what a program can print of the proxy', async (t) => {
      const victim = await stage.start(t, runtime, { kind: 'library', env: DEBUG })
      victim.process.write('show\n')
      const [shown] = await victim.process.until(/^\[.*\]$/m)
      assert.match(shown, /proxyUrl/)
      assert.deepEqual(formsIn(shown + victim.process.stdout + victim.process.stderr), [])
    })

    it('in what a program can print of the token object and its errors', async (t) => {
      let second = ''
      const victim = await stage.start(t, runtime, {
        kind: 'library',
        env: { ...DEBUG, CCR_ATTACK_SECOND_TOKEN: '../second_token' },
        prepare: (workingDirectory) => {
          second = join(workingDirectory, '../second_token')
          writeFileSync(second, TOKEN, { mode: 0o600 })
          stage.actor.own(second)
        },
      })
      victim.process.write('show-token\n')
      const [shown] = await victim.process.until(/^\[.*\]$/m)
      assert.equal(readFileSync(second, 'utf8'), TOKEN)
      assert.match(shown, /\[redacted\]/)
      assert.match(shown, /wiped already/)
      assert.deepEqual(formsIn(shown), [])
    })

    it('that root sees besides memory', { skip: skipRoot }, async (t) => {
      const { pid } = await stage.start(t, runtime, { env: DEBUG })
      const read = (name: string): string => readFileSync(`/proc/${pid}/${name}`, 'latin1')
      assert.ok(read('environ').includes(MARK))
      assert.deepEqual(formsIn(read('environ') + read('cmdline') + read('comm')), [])
      const names = readdirSync(`/proc/${pid}/fd`).map((name) => readlinkSync(`/proc/${pid}/fd/${name}`))
      assert.deepEqual(
        names.filter((name) => name.includes('session_token')),
        [],
      )
    })
  })
})
