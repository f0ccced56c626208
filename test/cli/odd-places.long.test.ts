// Places in which a program is started by accident: a folder that is gone, a disk that is full, a container without /proc. Each has
// a sentence of its own and what to do about it, nothing is a defect, and nothing is left. Costs 8 s of CPU.

import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { CLI_FILE, isInstalled, type Outcome, RunningProcess, run } from '../support/cli-process.js'
import { type EnabledReport, ProxyProcess, parseWarnings, type Report } from '../support/proxy-process.js'
import { describeOnEachRuntime, type TestRuntime } from '../support/runtimes.js'
import { createSession, type Session, type System, startSystem } from '../support/system.js'
import { type Scope, SharedScope } from '../support/temp-dir.js'
import { chooseActor, listTree } from '../support/unprivileged.js'

const PROGRAM = new URL('../support/proxy-program.js', import.meta.url)

const setup = new SharedScope()
after(() => setup.end())
const system: System = await startSystem(setup)
const self = { ...chooseActor(setup), own: () => {} }

const skipMount =
  process.getuid?.() === 0 && (await isInstalled(setup, 'unshare', '--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'))
    ? false
    : 'no tmpfs can be mounted in a namespace here'

/** Runs the rest in a folder that has been removed. */
const IN_GONE_FOLDER = ['sh', '-c', 'cd "$TMPDIR/../gone" && rmdir "$TMPDIR/../gone" && exec "$@"', 'sh']
/** The command itself looks at no folder, so that it has nothing to complain of. */
const COMMAND = ['run', '--', 'env', '--chdir=/', 'sh', '-c', 'exit 7']

/** Runs the command line under other programs. */
function cli(
  t: Scope,
  session: Session,
  under: readonly string[],
  { path }: TestRuntime,
  ...args: readonly string[]
): Promise<Outcome> {
  const [file = '', ...rest] = [...under, path, ...args]
  return run(t, file, rest, { env: session.env, cwd: '/' })
}

function openSession(t: Scope): Session {
  const session = createSession(t, self, system.environment)
  mkdirSync(join(session.directory, 'gone'))
  return session
}

interface Checks {
  readonly checks: readonly { readonly id: string; readonly code?: string; readonly seen?: string }[]
}

describeOnEachRuntime('a working directory that is gone', (runtime) => {
  /** Bun takes settings from its working directory, unless it is told not to. */
  const options = runtime.kind === 'bun' ? ['--config=/dev/null', '--no-env-file'] : []

  it('keeps nothing from working that does not need it', async (t) => {
    const session = openSession(t)
    const { exitCode, stderr } = await cli(t, session, IN_GONE_FOLDER, runtime, ...options, CLI_FILE, ...COMMAND)
    assert.deepEqual([exitCode, stderr], [7, ''])
  })

  for (const thread of ['worker', 'main']) {
    it(`does not keep a program from its proxy: ${thread}`, async (t) => {
      const session = openSession(t)
      const args = [...options, self.programFile(PROGRAM), self.packageUrl, JSON.stringify({ thread })]
      const [file = '', ...rest] = [...IN_GONE_FOLDER, runtime.path, ...args]
      const program = new ProxyProcess(t, file, rest, { env: session.env })
      const report = await program.next<Report & EnabledReport>()
      assert.equal(report.enabled, true, program.stderr)
      assert.equal(await program.ask('close 0'), null)
      assert.deepEqual(listTree(session.temporary), [])
    })
  }

  it('is no defect to the doctor', async (t) => {
    const session = openSession(t)
    const args = [...options, CLI_FILE, 'doctor', '--json', '--client', 'curl']
    const { stdout, stderr } = await cli(t, session, IN_GONE_FOLDER, runtime, ...args)
    const { checks } = JSON.parse(stdout || stderr) as Checks
    assert.ok(checks.length > 10)
    assert.deepEqual(
      checks.filter(({ code }) => code === 'internal-error'),
      [],
    )
  })

  if (runtime.kind === 'bun')
    it('is one whose settings nobody can look at any more', async (t) => {
      const session = openSession(t)
      const { exitCode, stderr } = await cli(t, session, IN_GONE_FOLDER, runtime, CLI_FILE, ...COMMAND)
      assert.equal(exitCode, 7)
      const [warning, ...others] = parseWarnings(stderr)
      assert.deepEqual([warning?.code, others], ['working-directory-unsafe', []])
      assert.match(warning?.message ?? '', /^the working directory is gone, /)
    })
})

const FULL: readonly (readonly [title: string, mount: string])[] = [
  ['bytes', 'mount -t tmpfs -o size=64k tmpfs "$TMPDIR" && ! head -c 1m /dev/zero > "$TMPDIR/filler" 2>&1'],
  ['inodes', 'mount -t tmpfs -o size=4m,nr_inodes=1 tmpfs "$TMPDIR"'],
]

describeOnEachRuntime('a temporary directory', (runtime) => {
  for (const [title, mount] of FULL) {
    describe(`that has no ${title} left`, { skip: skipMount }, () => {
      const under = ['unshare', '--mount', 'sh', '-c', `{ ${mount}; } && "$@"; c=$?; ls "$TMPDIR"; exit $c`, 'sh']

      it('keeps the proxy off, says so, and nothing is left', async (t) => {
        const session = openSession(t)
        const { exitCode, stdout, stderr } = await cli(t, session, under, runtime, CLI_FILE, ...COMMAND)
        assert.equal(exitCode, 7, stderr)
        const [warning, ...others] = parseWarnings(stderr)
        assert.deepEqual([warning?.code, others], ['disk-full', []])
        assert.match(warning?.message ?? '', /^there is no room for .* \(ENOSPC\)$/)
        assert.match(warning?.hint ?? '', /^make room /)
        assert.equal(stdout, title === 'bytes' ? 'filler\n' : '')
      })

      it('is a finding of the doctor', async (t) => {
        const session = openSession(t)
        const { stdout } = await cli(t, session, under, runtime, CLI_FILE, 'doctor', '--json', '--client', 'curl')
        const { checks } = JSON.parse(stdout.split('\n')[0] ?? '') as Checks
        assert.equal(checks.find(({ id }) => id === 'bundle')?.code, 'disk-full')
      })
    })
  }
})

describeOnEachRuntime('a temporary directory with room for all but the last file', (runtime) => {
  const mounted = (inodes: number, script: string): string[] => {
    const mount = `mount -t tmpfs -o size=16m,nr_inodes=${inodes} tmpfs "$TMPDIR"`
    return ['unshare', '--mount', 'sh', '-c', `${mount} && ${script}`, 'sh']
  }

  it('leaves the token to the next start', { skip: skipMount }, async (t) => {
    const whole = openSession(t)
    const count = ['run', '--', 'sh', '-c', 'find "$TMPDIR" | wc -l']
    const { stdout } = await cli(t, whole, mounted(1_000, 'exec "$@"'), runtime, CLI_FILE, ...count)
    const needed = Number(stdout)
    assert.ok(needed > 5, stdout)
    assert.ok(!existsSync(whole.tokenFile))

    const session = openSession(t)
    const under = mounted(needed - 1, '"$@"; c=$?; ls "$TMPDIR"; exit $c')
    const outcome = await cli(t, session, under, runtime, CLI_FILE, ...COMMAND)
    assert.deepEqual([outcome.exitCode, outcome.stdout], [7, ''], outcome.stderr)
    assert.deepEqual(
      parseWarnings(outcome.stderr).map(({ code }) => code),
      ['disk-full'],
    )
    assert.ok(existsSync(session.tokenFile), 'the token is gone')
  })
})

const WITHOUT_PROC = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /proc && exec "$@"', 'sh']

describe('a relay whose record is damaged', () => {
  it('may be why the doctor finds no token', async (t) => {
    const session = openSession(t)
    const relay = new RunningProcess(t, process.execPath, [CLI_FILE, 'relay', '--json'], { env: session.env })
    await relay.until(/\n/)
    const [folder = ''] = readdirSync(session.temporary)
    truncateSync(join(session.temporary, folder, 'record', 'relay.json'), 10)
    const args = [CLI_FILE, 'doctor', '--json', '--client', 'curl']
    const { stdout } = await run(t, process.execPath, args, { env: session.env })
    const { code, seen } = (JSON.parse(stdout) as Checks).checks.find(({ id }) => id === 'token') ?? {}
    assert.equal(code, 'token-missing')
    assert.match(seen ?? '', /relay\.json is cut off, or was changed/)
  })
})

// Bun ends there before it comes to a program.
describe('a container without /proc', { skip: skipMount }, () => {
  it('cannot say whether a process is traced, and says that', async (t) => {
    const session = openSession(t)
    const node: TestRuntime = { name: 'node', kind: 'node', path: process.execPath }
    const { exitCode, stderr } = await cli(t, session, WITHOUT_PROC, node, CLI_FILE, ...COMMAND)
    assert.equal(exitCode, 7, stderr)
    const [warning, ...others] = parseWarnings(stderr)
    assert.deepEqual([warning?.code, others], ['harden-failed', []])
    assert.match(warning?.message ?? '', /^\/proc\/self\/status does not exist, so that it cannot be seen /)
    assert.match(warning?.hint ?? '', /let it have \/proc$/)
  })
})
