// The token is in no place that is meant to be read: environments, command lines, logs, errors, objects, files. That the
// search would find it is shown in memory.long.test.ts, where root finds it in the memory of the same processes.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import {
  answerOf,
  filesHolding,
  filesIn,
  MARK,
  openStage,
  type RunningVictim,
  type Stage,
  TOKEN_FORMS,
} from '../support/attack.js'
import { TunnelStream } from '../support/connect-client.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { DENIED_AUTHORITY, RULED_HOST, TOKEN } from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'

const setup = new SharedScope()
const shared = process.platform === 'linux' ? await openStage(setup) : undefined
after(() => setup.end())

const skip = shared === undefined ? 'only Linux hardens' : false
const skipRoot = skip || (process.getuid?.() === 0 ? false : 'only root may look into the process')

function formsIn(text: string): string[] {
  return TOKEN_FORMS.filter((form) => text.includes(form))
}

/** The answer to a CONNECT that fails. */
function refusalOf({ port }: Pick<RunningVictim, 'port'>, authority: string): Promise<string> {
  const tunnel = new TunnelStream({ proxyUrl: `http://127.0.0.1:${port}`, authority })
  return tunnel.opened.then(
    () => assert.fail('the tunnel was opened'),
    (error: { answer?: string }) => error.answer ?? '',
  )
}

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
