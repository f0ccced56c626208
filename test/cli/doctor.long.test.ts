// `ccr-upstream-proxy doctor` as it is called: its arguments, its report for people, its exit codes, and how it is stopped.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { wrap } from '#src/cli/doctor-report.js'
import { checkOf, diagnosisOf, failuresOf, runDoctor } from '../doctor/doctor-process.js'
import { CLI_FILE, RunningProcess, run } from '../support/cli-process.js'
import {
  createSession,
  DENIED_AUTHORITY,
  PLAIN_HOST,
  RULED_HOST,
  type Session,
  type System,
  startSystem,
} from '../support/system.js'
import { type Scope, SharedScope } from '../support/temp-dir.js'
import { chooseActor } from '../support/unprivileged.js'

const URL_OF_TARGET = `https://${RULED_HOST}/hello`
/** What of this machine may be worth a warning on any: see doc/security.md. */
const OF_THE_MACHINE = ['sys-ptrace', 'kernel', 'dumpable']

describe('doctor', { concurrency: 2, timeout: 1_800_000 }, () => {
  const scope = new SharedScope()
  const self = { ...chooseActor(scope), own: () => {} }
  let system: System

  before(async () => {
    system = await startSystem(scope)
  })
  after(() => scope.end())

  const sessionOf = (t: Scope, env: Record<string, string> = {}): Session =>
    createSession(t, self, { ...system.environment, ...env })

  it('passes a healthy machine', async (t) => {
    const session = sessionOf(t)
    const { ok, checks } = diagnosisOf(await runDoctor(t, { session, args: ['--json', '--url', URL_OF_TARGET] }))
    assert.equal(ok, true)
    const odd = checks.filter(({ id, status }) => status !== 'pass' && !OF_THE_MACHINE.includes(id))
    assert.deepEqual(odd, [])
    assert.deepEqual(
      checks.map(({ id }) => id),
      [
        ['guard', 'settings', 'no-proxy'],
        ['addon', 'doors', 'dumpable', 'token', 'token-unlink'],
        ['ptrace-scope', 'sys-ptrace', 'core-pattern', 'seccomp', 'descriptors', 'kernel'],
        ['system-bundle', 'egress', 'gateway', 'clock'],
        ['gateway-ca', 'ca-lint', 'bundle'],
        ['relay', 'relay-answers', 'upgrade', 'connect', 'round-trip'],
        ['clients'],
      ].flat(),
    )
  })

  it('says how long each stage of the round trip took', async (t) => {
    const args = ['--json', '--url', URL_OF_TARGET]
    const diagnosis = diagnosisOf(await runDoctor(t, { session: sessionOf(t), args }))
    const stagesOf = (id: string) => Object.keys(checkOf(diagnosis, id).stages ?? {})
    assert.deepEqual(stagesOf('upgrade'), ['tcp', 'tls', 'upgrade'])
    assert.deepEqual(stagesOf('connect'), ['connect'])
    assert.deepEqual(stagesOf('round-trip'), ['tunnel', 'tls', 'first byte'])
    for (const { stages = {} } of diagnosis.checks) for (const ms of Object.values(stages)) assert.ok(ms >= 0)
  })

  it('goes by the root of the system where the gateway does not intercept', async (t) => {
    const args = ['--json', '--url', `https://${PLAIN_HOST}/hello`]
    const diagnosis = diagnosisOf(await runDoctor(t, { session: sessionOf(t), args }))
    assert.equal(checkOf(diagnosis, 'round-trip').status, 'pass')
    const without = { CCR_SYSTEM_CA_BUNDLE: '/nonexistent/bundle.pem' }
    const poorer = diagnosisOf(await runDoctor(t, { session: sessionOf(t), args, env: without }))
    assert.equal(checkOf(poorer, 'system-bundle').code, 'system-bundle-missing')
    assert.deepEqual(failuresOf(poorer), { 'round-trip': 'target-untrusted' })
  })

  it("takes a refusal of the gateway's own address for no failure, and tries no client then", async (t) => {
    const diagnosis = diagnosisOf(await runDoctor(t, { session: sessionOf(t), env: { PATH: process.env.PATH } }))
    const { status, code, hint } = checkOf(diagnosis, 'connect')
    assert.deepEqual([status, code], ['warn', 'port-denied'])
    assert.match(hint ?? '', /--url/)
    assert.equal(checkOf(diagnosis, 'round-trip').status, 'skip')
    assert.equal(checkOf(diagnosis, 'clients').status, 'skip')
    assert.equal(diagnosis.checks.at(-1)?.id, 'clients')
  })

  it('says that the guard is off, and examines the rest as if it were on', async (t) => {
    const session = sessionOf(t, { CLAUDE_CODE_REMOTE: '0' })
    const diagnosis = diagnosisOf(await runDoctor(t, { session, args: ['--json', '--url', URL_OF_TARGET] }))
    assert.deepEqual(failuresOf(diagnosis), { guard: 'guard-off' })
    assert.equal(checkOf(diagnosis, 'round-trip').status, 'pass')
  })

  it('says what it skips and why when the token is missing', async (t) => {
    const session = sessionOf(t)
    rmSync(session.tokenFile)
    const diagnosis = diagnosisOf(await runDoctor(t, { session }))
    assert.deepEqual(failuresOf(diagnosis), { token: 'token-missing' })
    assert.equal(checkOf(diagnosis, 'gateway-ca').status, 'pass')
    const skipped = ['relay', 'upgrade', 'connect', 'round-trip', 'clients'].map((id) => checkOf(diagnosis, id))
    for (const { status } of skipped) assert.equal(status, 'skip')
    assert.deepEqual(
      skipped.map(({ seen }) => seen),
      ['token', 'token', 'upgrade', 'connect', 'round-trip'].map((id) => `it needs ${id}, which did not pass`),
    )
  })

  const BROKEN: readonly { title: string; check: string; code: string; env?: Record<string, string>; mode?: number }[] =
    [
      {
        title: 'a base that is no URL',
        check: 'settings',
        code: 'config-invalid',
        env: { CCR_UPSTREAM_PROXY_URL: 'gate' },
      },
      { title: 'a token that others may write', check: 'token', code: 'token-unsafe', mode: 0o666 },
      {
        title: 'a wrong CA path',
        check: 'gateway-ca',
        code: 'ca-refused',
        env: { CCR_UPSTREAM_PROXY_CA_PATH: '/elsewhere' },
      },
      {
        title: 'a wrong tunnel path',
        check: 'upgrade',
        code: 'gateway-upgrade-refused',
        env: { CCR_UPSTREAM_PROXY_TUNNEL_PATH: '/elsewhere' },
      },
      {
        title: 'a temporary folder that is not there',
        check: 'bundle',
        code: 'bundle-unwritable',
        env: { TMPDIR: '/nonexistent' },
      },
      {
        title: 'an inspector option',
        check: 'doors',
        code: 'dump-enabled',
        env: { NODE_OPTIONS: '--heapsnapshot-signal=SIGUSR2' },
      },
    ]
  for (const { title, check, code, env, mode } of BROKEN) {
    it(`finds ${title}: ${code}`, async (t) => {
      const session = sessionOf(t, env)
      if (mode !== undefined) chmodSync(session.tokenFile, mode)
      assert.equal(failuresOf(diagnosisOf(await runDoctor(t, { session })))[check], code)
    })
  }

  it("shows the gateway's own words for a refused upgrade", async (t) => {
    const session = sessionOf(t)
    writeFileSync(session.tokenFile, 'a-token-of-yesterday')
    const found = checkOf(diagnosisOf(await runDoctor(t, { session })), 'upgrade')
    assert.match(found.seen ?? '', /^the gateway refused the upgrade: 401 Unauthorized: .+ \(unauthorized\)$/)
  })

  it('names the client that lacks something, and what it lacks', async (t) => {
    const session = sessionOf(t, { CCR_UPSTREAM_PROXY_ENV_EXCEPT: 'NODE_EXTRA_CA_CERTS' })
    const PATH = join(session.directory, 'bin')
    writeProgram(PATH, 'node', `exec '${process.execPath}' "$@"`)
    const args = ['--json', '--url', URL_OF_TARGET]
    const trusting = sessionOf(t)
    const good = diagnosisOf(await runDoctor(t, { session: trusting, args, env: { PATH } }))
    assert.match(checkOf(good, 'client node').seen ?? '', /^\d+\.\d+\.\d+: answered through the tunnel in \d+ ms$/)
    const { code, hop, hint } = checkOf(
      diagnosisOf(await runDoctor(t, { session, args, env: { PATH } })),
      'client node',
    )
    assert.deepEqual([code, hop], ['client-failed', 'client'])
    assert.match(hint ?? '', /^it takes the CA from NODE_EXTRA_CA_CERTS, which CCR_UPSTREAM_PROXY_ENV/)
  })

  /** Clients that do not do what they should; each says its version. */
  const REFUSED: readonly { client: string; what: string; head: string; code: string; hop: string; next: RegExp }[] = [
    {
      client: 'curl',
      what: 'plain HTTP',
      head: 'GET http://h.example/ HTTP/1.1',
      code: 'method-not-allowed',
      hop: 'client',
      next: /leave HTTP_PROXY unset/,
    },
    {
      client: 'wget',
      what: 'a CONNECT without a port',
      head: 'CONNECT h.example HTTP/1.1',
      code: 'bad-authority',
      hop: 'client',
      next: /decimal port.*the wget of BusyBox/,
    },
    {
      client: 'git',
      what: 'a host that the gateway refuses',
      head: `CONNECT ${DENIED_AUTHORITY} HTTP/1.1`,
      code: 'gateway-connect-refused',
      hop: 'gateway',
      next: /the gateway's log and its rules/,
    },
  ]
  it('names what the relay or the gateway had against a client', async (t) => {
    const session = sessionOf(t)
    const PATH = join(session.directory, 'bin')
    for (const { client, head } of REFUSED) {
      const request = JSON.stringify(`${head}\r\nHost: h\r\n\r\n`)
      const script = `require('node:net').connect(new URL(process.env.HTTPS_PROXY).port, '127.0.0.1')
        .on('end', () => process.exit(1)).resume().write(${request})`
      const file = join(session.directory, `${client}.cjs`)
      writeFileSync(file, script)
      writeProgram(
        PATH,
        client,
        `case "$1" in --version|--help) echo 1.2.3;; *) exec '${process.execPath}' '${file}';; esac`,
      )
    }
    const args = ['--json', '--url', URL_OF_TARGET]
    const diagnosis = diagnosisOf(await runDoctor(t, { session, args, env: { PATH } }))
    for (const { client, what, next, code, hop } of REFUSED) {
      const found = checkOf(diagnosis, `client ${client}`)
      assert.deepEqual([found.status, found.code, found.hop], ['fail', code, hop], what)
      assert.match(found.hint ?? '', next)
    }
  })

  it('says in its last line that no client was tried, and what to do about it', async (t) => {
    const { stdout } = await runDoctor(t, { session: sessionOf(t), args: [] })
    assert.match(stdout, /^ {2}skip {2}clients {10}no client was tried: name a host with --url$/m)
    assert.match(stdout, /\nNothing failed\.[^\n]* No client was tried: name a host with --url\.\n$/)
  })

  it('does not ask the gateway for a host that clients reach past it', async (t) => {
    const args = ['--json', '--url', 'https://internal.example/']
    const session = sessionOf(t, { NO_PROXY: 'internal.example' })
    const diagnosis = diagnosisOf(await runDoctor(t, { session, args }))
    assert.deepEqual(failuresOf(diagnosis), {})
    for (const id of ['connect', 'round-trip']) {
      const { status, seen } = checkOf(diagnosis, id)
      assert.deepEqual(
        [status, seen],
        ['skip', 'internal.example is in NO_PROXY, so clients go past the relay: name another with --url'],
      )
    }
    assert.equal(checkOf(diagnosis, 'clients').seen, 'no client was tried: name a host with --url')
  })

  it('names the file of the system bundle', async (t) => {
    const session = sessionOf(t)
    const { seen } = checkOf(diagnosisOf(await runDoctor(t, { session })), 'system-bundle')
    assert.equal(seen, `1 certificates of ${session.env.CCR_SYSTEM_CA_BUNDLE}; 0 of NODE_EXTRA_CA_CERTS`)
  })

  it('tells every warning of a check, and leaves the rank of each hint to the status', async (t) => {
    const session = sessionOf(t, {
      CCR_UPSTREAM_PROXY_NO_PROXY: '*,::1/128',
      CCR_SYSTEM_CA_BUNDLE: '/nonexistent/bundle.pem',
    })
    const diagnosis = diagnosisOf(await runDoctor(t, { session }))
    const noProxy = checkOf(diagnosis, 'no-proxy')
    assert.deepEqual([noProxy.status, noProxy.code], ['warn', 'no-proxy-refused'])
    assert.match(noProxy.seen ?? '', /«\*» is left out: .*; NO_PROXY entry «::1\/128» is left out: /)
    const { hint } = checkOf(diagnosis, 'system-bundle')
    assert.equal(hint, 'install ca-certificates, or name the bundle in CCR_SYSTEM_CA_BUNDLE')
  })

  it('warns of a tunnel log that could not be written, and makes none', async (t) => {
    const logOf = async (name: string) => {
      const session = sessionOf(t)
      symlinkSync('/dev/null', join(session.directory, 'link'))
      const env = { CCR_UPSTREAM_PROXY_TUNNEL_LOG: join(session.directory, name) }
      const { status, code, seen } = checkOf(diagnosisOf(await runDoctor(t, { session, env })), 'settings')
      return [status, code, /\((\w+)\)$/.exec(seen ?? '')?.[1]]
    }
    assert.deepEqual(await Promise.all(['tunnels.jsonl', 'nowhere/tunnels.jsonl', 'link', 'tmp'].map(logOf)), [
      ['pass', undefined, undefined],
      ['warn', 'tunnel-log-failed', 'ENOENT'],
      ['warn', 'tunnel-log-failed', 'ELOOP'],
      ['warn', 'tunnel-log-failed', 'EISDIR'],
    ])
  })

  it('reads in 80 columns, without colour where there is no terminal', async (t) => {
    const session = sessionOf(t)
    rmSync(session.tokenFile)
    const { stdout, exitCode } = await runDoctor(t, { session, args: [] })
    assert.equal(exitCode, 1)
    assert.ok(!stdout.includes('\x1b'))
    assert.deepEqual(
      stdout.split('\n').filter((line) => line.length > 80),
      [],
    )
    assert.match(stdout, /^configuration\n {2}pass {2}guard /)
    assert.match(stdout, /^ {2}fail {2}token {12}\S/m)
    assert.match(stdout, /^ +→ mount the session token/m)
    assert.match(stdout, /\nOne check failed, the first at the hop «machine»: token-missing\.[^\n]*\n$/)
  })

  it('refuses a target that no client could ask for', async (t) => {
    for (const url of ['http://h.example/', 'h.example', 'https://user@h.example/', '']) {
      const { exitCode, stdout, stderr } = await run(t, process.execPath, [CLI_FILE, 'doctor', '--url', url], {
        env: {},
      })
      assert.deepEqual([exitCode, stdout], [2, ''])
      assert.match(stderr, /--url takes an https:\/\/ address/)
    }
  })

  const scriptProgram = spawnSync('script', ['--version']).error === undefined
  describe('on a terminal', { skip: scriptProgram ? false : 'script(1) is not installed' }, () => {
    /** On a pseudo-terminal; both streams are one. */
    const onTerminal = async (t: Scope, env: Record<string, string>): Promise<string> => {
      const session = sessionOf(t)
      const command = `'${process.execPath}' '${CLI_FILE}' doctor`
      const { stdout } = await run(t, 'script', ['-qec', command, '/dev/null'], {
        env: { ...session.env, TERM: 'xterm', ...env },
      })
      return stdout
    }

    it('has colour and shows progress', async (t) => {
      const text = await onTerminal(t, {})
      assert.ok(text.includes('\x1b[32mpass  \x1b[0m'))
      assert.match(text, /checking gateway …/)
    })

    it('steers no terminal that is dumb', async (t) => {
      const text = await onTerminal(t, { TERM: 'dumb' })
      assert.match(text, /^ {2}pass {2}guard /m)
      assert.ok(!text.includes('\x1b'))
    })

    it('has no colour with NO_COLOR', async (t) => {
      assert.ok(!(await onTerminal(t, { NO_COLOR: '1' })).includes('\x1b[32m'))
    })
  })

  it('warns of a configuration that gives the token away', async (t) => {
    const session = sessionOf(t, { CCR_UPSTREAM_PROXY_DANGEROUSLY_ALLOW_INSPECTION: 'the-token-can-be-read' })
    const { status, code } = checkOf(diagnosisOf(await runDoctor(t, { session })), 'settings')
    assert.deepEqual([status, code], ['warn', 'inspection-allowed'])
  })

  it('leaves nothing behind and nothing running when it is interrupted', async (t) => {
    const session = sessionOf(t)
    const bin = join(session.directory, 'bin')
    const started = join(session.directory, 'started')
    assert.equal(spawnSync('mkfifo', [started]).status, 0)
    // A client that would outlive any test, and a program that it starts.
    writeProgram(bin, 'curl', `[ "$1" = --version ] && exit\nsleep 600 & echo $! $$ >'${started}'; wait`)
    const args = [CLI_FILE, 'doctor', '--json', '--url', URL_OF_TARGET]
    const env = { ...session.env, PATH: `${bin}:/usr/bin:/bin` }
    const doctor = new RunningProcess(t, process.execPath, args, { env, input: '' })
    // The reading waits for the client to write.
    const pids = (await readFile(started, 'utf8')).trim().split(' ').map(Number)
    doctor.kill('SIGINT')
    const { exitCode, stdout } = await doctor.ended
    assert.deepEqual([exitCode, stdout], [130, ''])
    assert.equal(pids.length, 2)
    for (const pid of pids) assert.ok(!isAlive(pid), `process ${pid} still runs`)
    assert.deepEqual(readdirSync(session.temporary), [])
    assert.ok(existsSync(session.tokenFile))
  })
})

function writeProgram(folder: string, name: string, script: string): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
}

/** A zombie that nobody has buried yet is dead (proc_pid_stat(5)). */
function isAlive(pid: number): boolean {
  try {
    const [, state] = /\) (\w)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1')) ?? []
    return state !== 'Z' && state !== 'X'
  } catch {
    return false
  }
}

describe('wrap', () => {
  it('breaks at spaces, and cuts what is longer than a line', () => {
    assert.deepEqual(wrap('one two three', 7), ['one two', 'three'])
    assert.deepEqual(wrap('abcdefghij k', 4), ['abcd', 'efgh', 'ij k'])
    assert.deepEqual(wrap('', 4), [''])
  })
})
