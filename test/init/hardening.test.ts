// What keeps another process of the same user away from the token, tried by such a process. Each attack is shown to work
// where nothing is hardened.

import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { isInstalled, run } from '../support/cli-process.js'
import { createSession, type System, startSystem, TOKEN } from '../support/system.js'
import { type Scope, SharedScope } from '../support/temp-dir.js'
import { chooseActor, listTree } from '../support/unprivileged.js'
import { type DisabledReport, type Looks, parseWarnings, type Report, startInit } from './init-process.js'

const setup = new SharedScope()
const actor = chooseActor(setup)
const [hasStrace, hasGdb] = await Promise.all([isInstalled(setup, 'strace', '-V'), isInstalled(setup, 'gdb')])
const skipElsewhere = process.platform === 'linux' ? false : 'only Linux hardens'
const skip = skipElsewhere || (actor.isRoot ? 'root may look into every process' : false)

after(() => setup.end())

/** Opens what lets a process look into another; one word a line. */
const ATTACK = `
  const { openSync, closeSync, readFileSync } = require('node:fs')
  const attempt = (name, action) => {
    try { action(); console.log(name + ' open') } catch (error) { console.log(name + ' ' + error.code) }
  }
  const folder = '/proc/' + process.argv[1]
  attempt('mem', () => closeSync(openSync(folder + '/mem', 'r')))
  attempt('environ', () => readFileSync(folder + '/environ'))
  attempt('maps', () => readFileSync(folder + '/maps'))
  attempt('fd', () => require('node:fs').readdirSync(folder + '/fd'))`

describe('a process that holds the token', { concurrency: 2, timeout: 60_000 }, () => {
  let system: System

  before(async () => {
    system = await startSystem(setup)
  })

  const attack = async (t: Scope, pid: number): Promise<string> => {
    const args = ['-e', ATTACK, `${pid}`]
    return (await run(t, actor.nodeFile, args, { ...actor.ids, env: { PATH: process.env.PATH } })).stdout
  }

  it('cannot be looked into by its own user', { skip }, async (t) => {
    const open = startInit(t, actor, createSession(t, actor, system.environment), {
      env: { CLAUDE_CODE_REMOTE: undefined },
    })
    assert.equal((await open.next<Report>()).enabled, false)
    const control = await attack(t, open.process.pid)
    // Where Yama is on, mem is closed for everybody but a parent; the rest never is.
    assert.match(control, /^mem (?:open|EACCES)\nenviron open\nmaps open\nfd open\n$/)

    const hardened = startInit(t, actor, createSession(t, actor, system.environment))
    assert.equal((await hardened.next<Report>()).enabled, true)
    assert.equal(await attack(t, hardened.process.pid), 'mem EACCES\nenviron EACCES\nmaps EACCES\nfd EACCES\n')
  })

  /** Sends SIGUSR1 until an answer has come behind each, and says what the process sees of itself then. */
  async function afterSignals(t: Scope, env: Record<string, undefined>) {
    const session = createSession(t, actor, system.environment)
    const child = startInit(t, actor, session, { env, nodeOptions: ['--inspect-port=127.0.0.1:0'] })
    const report = await child.next<Report>()
    let looks: Looks = report
    for (let round = 0; round < 20 && !looks.hasInspector; round++) {
      child.process.kill('SIGUSR1')
      looks = await child.ask<Looks>('look')
    }
    return { report, looks, child }
  }

  it('opens no inspector on SIGUSR1', { skip: skipElsewhere }, async (t) => {
    const { child: control } = await afterSignals(t, { CLAUDE_CODE_REMOTE: undefined })
    await control.process.until(/Debugger listening on/, 'stderr')
    const { report, looks, child } = await afterSignals(t, {})
    assert.equal(report.enabled, true)
    assert.equal(looks.hasInspector, false)
    assert.deepEqual(looks.listening, [report.enabled && report.port])
    assert.equal(child.process.stderr, '')
  })
})

describe('a process that is watched', { concurrency: 2, timeout: 60_000 }, () => {
  let system: System

  before(async () => {
    system = await startSystem(setup)
  })

  interface Watch {
    readonly title: string
    readonly code: string
    readonly skip: string | false
    readonly under?: readonly string[]
    readonly nodeOptions?: readonly string[]
    readonly env?: Record<string, string>
  }
  const WATCHES: readonly Watch[] = [
    {
      title: 'strace',
      code: 'process-traced',
      skip: skipElsewhere || (hasStrace ? false : 'strace is not installed'),
      under: ['strace', '-f', '-qq', '-s', '100', '-o', 'trace.txt'],
    },
    {
      title: 'gdb',
      code: 'process-traced',
      skip: skipElsewhere || (hasGdb ? false : 'gdb is not installed'),
      under: ['gdb', '-q', '-batch', '-nx', '-ex', 'set debuginfod enabled off', '-ex', 'run', '--args'],
    },
    { title: '--inspect', code: 'debugger-open', skip: skipElsewhere, nodeOptions: ['--inspect=127.0.0.1:0'] },
    {
      title: 'NODE_OPTIONS with --inspect',
      code: 'debugger-open',
      skip: skipElsewhere,
      env: { NODE_OPTIONS: '--inspect=127.0.0.1:0' },
    },
    {
      title: 'a heap snapshot on a signal',
      code: 'dump-enabled',
      skip: skipElsewhere,
      nodeOptions: ['--heapsnapshot-signal=SIGUSR2'],
    },
    { title: 'NODE_DEBUG for http', code: 'debug-output', skip: skipElsewhere, env: { NODE_DEBUG: 'http' } },
  ]

  for (const { title, code, skip, under, nodeOptions, env } of WATCHES) {
    it(`by ${title} does not read the token: ${code}`, { skip }, async (t) => {
      const session = createSession(t, actor, system.environment)
      const before = listTree(session.temporary)
      const child = startInit(t, actor, session, {
        ...(under && { under }),
        ...(nodeOptions && { nodeOptions }),
        ...(env && { env }),
      })
      // A debugger writes to standard output too, so that the answer is looked for.
      const [line] = await child.process.until(/^\{"enabled".*$/m)
      const report = JSON.parse(line) as Report & DisabledReport
      child.process.endInput()
      const { stdout, stderr } = await child.process.ended
      assert.equal(report.code, code)
      assert.equal(readFileSync(session.tokenFile, 'utf8'), `${TOKEN}\n`)
      const own = stderr.split('\n').filter((text) => text.startsWith('ccr-upstream-proxy:'))
      assert.deepEqual(parseWarnings(own.join('\n')), [{ code, message: report.reason, hint: report.hint }])
      const trace = join(session.directory, 'trace.txt')
      const written = `${stdout}${stderr}${existsSync(trace) ? readFileSync(trace, 'latin1') : ''}`
      assert.ok(!written.includes(TOKEN))
      assert.deepEqual(listTree(session.temporary), before)
    })
  }
})
