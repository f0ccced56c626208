// `ccr-upstream-proxy run`: everything that the command does is its own, as if nothing stood before it.

import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { CLI_FILE, isInstalled, type Outcome, RunningProcess, run } from '../support/cli-process.js'
import { createSession, type Session, type System, startSystem, TOKEN } from '../support/system.js'
import { type Scope, SharedScope } from '../support/temp-dir.js'
import { chooseActor, listTree } from '../support/unprivileged.js'

const setup = new SharedScope()
// The script(1) of util-linux; that of the BSDs takes other options.
const hasScript = (await isInstalled(setup, 'script')) && process.platform === 'linux'

const CLI = [process.execPath, CLI_FILE] as const
/** A gateway that nobody can reach, so that the start fails without a network. */
const BROKEN = { CCR_UPSTREAM_PROXY_URL: 'http://192.0.2.1/' }

describe('run', { concurrency: 2, timeout: 1_800_000 }, () => {
  const self = { ...chooseActor(setup), own: () => {} }
  let system: System

  before(async () => {
    system = await startSystem(setup)
  })
  after(() => setup.end())

  interface Call {
    readonly env?: Record<string, string>
    readonly input?: string
  }

  async function runCommand(t: Scope, args: readonly string[], { env = {}, ...options }: Call = {}) {
    const session = createSession(t, self, { ...system.environment, ...env })
    const [file, ...first] = CLI
    const outcome = await run(t, file, [...first, 'run', ...args], {
      env: session.env,
      cwd: session.directory,
      ...options,
    })
    return { session, ...outcome }
  }

  function assertTidy({ session, stderr }: Outcome & { session: Session }): void {
    assert.equal(stderr, '')
    assert.ok(!existsSync(session.tokenFile))
    assert.deepEqual(listTree(session.temporary), [])
  }

  it('gives the command the proxy and what the environment held', async (t) => {
    const result = await runCommand(t, ['--', 'sh', '-c', 'echo "$HTTPS_PROXY $KEPT"'], { env: { KEPT: 'kept' } })
    assert.match(result.stdout, /^http:\/\/127\.0\.0\.1:\d+ kept\n$/)
    assert.equal(result.exitCode, 0)
    assertTidy(result)
  })

  for (const exitCode of [0, 1, 42, 255]) {
    it(`ends with the command's exit code ${exitCode}`, async (t) => {
      const result = await runCommand(t, ['--', 'sh', '-c', `exit ${exitCode}`])
      assert.deepEqual([result.exitCode, result.signal], [exitCode, null])
      assertTidy(result)
    })
  }

  it('ends with 127 when there is no such command', async (t) => {
    const { exitCode, stdout, stderr, session } = await runCommand(t, ['no-such-command-here'])
    assert.deepEqual([exitCode, stdout], [127, ''])
    assert.match(
      stderr,
      /^ccr-upstream-proxy: error \[command-not-found\] no-such-command-here was not found \(ENOENT\); hint: [^\n]+\n$/,
    )
    assert.deepEqual(listTree(session.temporary), [])
  })

  for (const [signal, shellCode] of [
    ['SIGTERM', 143],
    ['SIGKILL', 137],
    ['SIGINT', 130],
    ['SIGUSR1', 138],
  ] as const) {
    it(`dies by ${signal} when the command did`, async (t) => {
      const suicide = ['sh', '-c', `kill -${signal.slice(3)} $$`]
      const result = await runCommand(t, ['--', ...suicide])
      assert.deepEqual([result.exitCode, result.signal], [null, signal])
      assertTidy(result)
      const session = createSession(t, self, system.environment)
      const args = ['-c', '"$@"; echo $?', 'sh', ...CLI, 'run', '--', ...suicide]
      const { stdout } = await run(t, 'sh', args, { env: session.env })
      assert.equal(stdout, `${shellCode}\n`)
    })
  }

  it('passes signals on', async (t) => {
    const signals = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const
    const script = `
      for (const name of ${JSON.stringify(signals)}) process.on(name, () => console.log('got ' + name))
      process.stdin.on('end', () => process.exit(7)).resume()
      console.log('ready')`
    const session = createSession(t, self, system.environment)
    const [file, ...first] = CLI
    const child = new RunningProcess(t, file, [...first, 'run', '--', process.execPath, '-e', script], {
      env: session.env,
    })
    await child.until(/ready\n/)
    for (const signal of signals) {
      child.kill(signal)
      await child.until(new RegExp(`got ${signal}\n`))
    }
    child.endInput()
    const outcome = await child.ended
    assert.equal(outcome.exitCode, 7)
    assert.equal(outcome.stdout, ['ready', ...signals.map((name) => `got ${name}`), ''].join('\n'), 'more than once')
    assertTidy({ session, ...outcome })
  })

  it('passes standard input and output through', async (t) => {
    const input = Array.from({ length: 50_000 }, (_, index) => `line ${index}\n`).join('')
    const result = await runCommand(t, ['--', 'cat'], { input })
    assert.ok(result.stdout === input, 'the output differs from the input')
    assertTidy(result)
  })

  it('keeps arguments as they are', async (t) => {
    const args = ['a b', '', '*', "it's", '"', '$HOME', '\\', '--require', '--', '-h', 'ü\n']
    const { stdout } = await runCommand(t, ['--', 'printf', '<%s>', ...args])
    assert.equal(stdout, args.map((arg) => `<${arg}>`).join(''))
  })

  it('leaves options behind the command to it, with and without --', async (t) => {
    for (const args of [
      ['echo', '--help', '--'],
      ['--', 'echo', '--help', '--'],
    ]) {
      const { stdout, exitCode } = await runCommand(t, args)
      assert.deepEqual([stdout, exitCode], ['--help --\n', 0])
    }
  })

  it('warns once and runs the command when the proxy cannot start', async (t) => {
    const { exitCode, stdout, stderr, session } = await runCommand(t, ['echo', 'done'], { env: BROKEN })
    assert.deepEqual([exitCode, stdout], [0, 'done\n'])
    assert.match(stderr, /^ccr-upstream-proxy: warn \[config-invalid\] [^\n]+; hint: [^\n]+\n$/)
    assert.ok(existsSync(session.tokenFile))
  })

  it('exits with 3 and does not run the command with --require', async (t) => {
    const { exitCode, stdout, stderr, session } = await runCommand(t, ['--require', '--', 'echo', 'done'], {
      env: BROKEN,
    })
    assert.deepEqual([exitCode, stdout], [3, ''])
    assert.match(stderr, /^ccr-upstream-proxy: error \[config-invalid\] [^\n]+; hint: [^\n]+$/m)
    assert.ok(existsSync(session.tokenFile))
  })

  it('runs the command with --require when the proxy starts', async (t) => {
    const result = await runCommand(t, ['--require', 'echo', 'done'])
    assert.equal(result.stdout, 'done\n')
    assertTidy(result)
  })

  it('warns of the guard, which the library does not', async (t) => {
    const { exitCode, stderr } = await runCommand(t, ['true'], { env: { CLAUDE_CODE_REMOTE: '' } })
    assert.equal(exitCode, 0)
    assert.match(stderr, /^ccr-upstream-proxy: warn \[guard-off\] [^\n]+; hint: [^\n]+\n$/)
  })

  it('says nothing when the log is silent', async (t) => {
    for (const env of [BROKEN, { CLAUDE_CODE_REMOTE: '' }]) {
      const call = { env: { ...env, CCR_UPSTREAM_PROXY_LOG: 'silent' } }
      const { stdout, stderr } = await runCommand(t, ['echo', 'done'], call)
      assert.deepEqual([stdout, stderr], ['done\n', ''])
    }
  })

  it('has the token nowhere at the most talkative log level', async (t) => {
    const script =
      'env; tr "\\0" " " < /proc/$$/cmdline; tr "\\0" " " < /proc/$PPID/cmdline; ls -R "$TMPDIR"; cat "$SSL_CERT_FILE"'
    const { stdout, stderr } = await runCommand(t, ['--', 'sh', '-c', script], {
      env: { CCR_UPSTREAM_PROXY_LOG: 'debug' },
    })
    assert.match(stdout, /BEGIN CERTIFICATE/)
    assert.match(stderr, /debug/)
    assert.ok(!`${stdout}${stderr}`.includes(TOKEN))
  })

  const skipTerminal = hasScript ? false : "util-linux's script is not installed"
  it('leaves the terminal to the command, which gets Ctrl-C once', { skip: skipTerminal }, async (t) => {
    const script = `
      let interrupts = 0
      process.on('SIGINT', () => console.log('interrupt ' + ++interrupts))
      process.stdin.on('data', () => { console.log('total ' + interrupts); process.exit(5) })
      console.log('terminal', process.stdin.isTTY, process.stdout.isTTY, process.stderr.isTTY)`
    const session = createSession(t, self, system.environment)
    writeFileSync(join(session.directory, 'command.cjs'), script)
    const [node, cli] = CLI
    const command = `exec '${node}' '${cli}' run -- '${node}' command.cjs`
    const terminal = new RunningProcess(t, 'script', ['--quiet', '--return', '--command', command, '/dev/null'], {
      env: { ...session.env, TERM: 'dumb', SHELL: '/bin/sh' },
      cwd: session.directory,
    })
    await terminal.until(/terminal true true true/)
    for (let count = 1; count <= 5; count++) {
      terminal.write('\x03')
      await terminal.until(new RegExp(`interrupt ${count}\r?\n`))
    }
    terminal.write('end\n')
    await terminal.until(/total 5\r?\n/)
    assert.equal((await terminal.ended).exitCode, 5)
    assert.deepEqual(listTree(session.temporary), [])
  })
})
