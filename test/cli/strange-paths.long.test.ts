// What lies where a file is expected is a pipe that nobody writes, or has no end: nothing waits for it and nothing reads it whole;
// what could not be read is said. Costs 12 s of CPU.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { CLI_FILE, type Outcome, RunningProcess, run } from '../support/cli-process.js'
import { type DisabledReport, ProxyProcess, parseWarnings, type Report } from '../support/proxy-process.js'
import { describeOnEachRuntime, type TestRuntime } from '../support/runtimes.js'
import { createSession, type Session, type System, startSystem } from '../support/system.js'
import { type Scope, SharedScope } from '../support/temp-dir.js'
import { chooseActor, listTree } from '../support/unprivileged.js'

const PROGRAM = new URL('../support/proxy-program.js', import.meta.url)

const setup = new SharedScope()
after(() => setup.end())
const system: System = await startSystem(setup)
const self = { ...chooseActor(setup), own: () => {} }

interface Strange {
  readonly title: string
  readonly make: (path: string) => void
  /** What is said of it. */
  readonly why: RegExp
}

const STRANGE: readonly Strange[] = [
  {
    title: 'a pipe',
    make: (path) => assert.equal(spawnSync('mkfifo', [path]).status, 0),
    why: /is a pipe, and no regular file/,
  },
  {
    title: 'a file of gigabytes',
    make: (path) => {
      writeFileSync(path, '')
      truncateSync(path, 2 ** 40)
    },
    why: /is longer than \d+ bytes/,
  },
]

/** Read by the runtime itself before any program: not on Node, where it would not come to the program. */
const EXTRA = 'NODE_EXTRA_CA_CERTS'
/** Read where the container has them, and passed over. */
const CERTIFICATE_VARIABLES = ['CCR_SYSTEM_CA_BUNDLE', 'SSL_CERT_FILE', 'CURL_CA_BUNDLE', 'GIT_SSL_CAINFO'] as const
const TOOL_VARIABLES = ['WGETRC', 'APT_CONFIG'] as const

function cli(
  t: Scope,
  runtime: TestRuntime,
  session: Session,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Outcome> {
  return run(t, runtime.path, [CLI_FILE, ...args], { env: { ...session.env, ...env }, cwd: session.directory })
}

describeOnEachRuntime('a strange path', (runtime) => {
  for (const { title, make, why } of STRANGE) {
    describe(`that is ${title}`, { concurrency: 2 }, () => {
      const strange = (session: Session, name: string): string => {
        const path = join(session.directory, name)
        make(path)
        return path
      }

      it('is passed over among what is trusted and what tools read, with a warning for each bundle', async (t) => {
        const session = createSession(t, self, system.environment)
        const variables = [...CERTIFICATE_VARIABLES, ...TOOL_VARIABLES]
        const env = Object.fromEntries(variables.map((name) => [name, strange(session, name)]))
        const { exitCode, stderr, stdout } = await cli(t, runtime, session, ['run', '--', 'printenv', 'WGETRC'], env)
        assert.equal(exitCode, 0, stderr)
        // The proxy is on.
        assert.ok(stdout.startsWith(session.temporary), stdout)
        const warnings = parseWarnings(stderr)
        assert.deepEqual(
          warnings.map(({ code }) => code),
          ['file-unusable', 'system-bundle-missing', ...CERTIFICATE_VARIABLES.slice(1).map(() => 'file-unusable')],
        )
        const unusable = warnings.filter(({ code }) => code === 'file-unusable')
        for (const [index, name] of CERTIFICATE_VARIABLES.entries()) {
          assert.ok(unusable[index]?.message.startsWith(join(session.directory, name)))
          assert.match(unusable[index]?.message ?? '', why)
        }
        assert.deepEqual(listTree(session.temporary), [])
      })

      it('as the CA of the gateway keeps the proxy off, and the command runs', async (t) => {
        const session = createSession(t, self, system.environment)
        const name = 'CCR_UPSTREAM_PROXY_GATEWAY_CA'
        const { exitCode, stderr } = await cli(t, runtime, session, ['run', '--', 'sh', '-c', 'exit 7'], {
          [name]: strange(session, name),
        })
        assert.equal(exitCode, 7, stderr)
        const [warning, ...others] = parseWarnings(stderr)
        assert.deepEqual(others, [])
        assert.equal(warning?.code, 'config-invalid')
        assert.ok(warning?.message.startsWith(name))
        assert.match(warning?.message ?? '', why)
        assert.deepEqual(listTree(session.temporary), [])
      })

      it('is a finding of the doctor, which ends', async (t) => {
        const session = createSession(t, self, system.environment)
        const name = 'CCR_UPSTREAM_PROXY_GATEWAY_CA'
        const { exitCode, stdout } = await cli(t, runtime, session, ['doctor', '--json', '--client', 'curl'], {
          [name]: strange(session, name),
        })
        assert.equal(exitCode, 1)
        const { checks } = JSON.parse(stdout) as { checks: { id: string; code?: string; seen?: string }[] }
        const { code, seen } = checks.find(({ id }) => id === 'system-bundle') ?? {}
        assert.equal(code, 'config-invalid')
        assert.match(seen ?? '', why)
      })

      it('is no CA file to install', async (t) => {
        const session = createSession(t, self, {})
        const path = strange(session, 'ca.pem')
        const args = ['install-ca', '--dry-run', '--root', session.temporary, '--ca-file', path]
        const { exitCode, stderr } = await cli(t, runtime, session, args, {})
        assert.equal(exitCode, 1)
        assert.match(stderr, /error \[config-invalid\] --ca-file: /)
        assert.match(stderr, why)
      })

      it('is no policy to install into, and stays what it is', async (t) => {
        const session = createSession(t, self, {})
        const policies = join(session.temporary, 'etc/firefox/policies')
        mkdirSync(policies, { recursive: true })
        make(join(policies, 'policies.json'))
        const caFile = system.environment.CCR_UPSTREAM_PROXY_GATEWAY_CA ?? ''
        const args = ['install-ca', '--root', session.temporary, '--only', 'firefox', '--ca-file', caFile, '--json']
        const { exitCode, stdout } = await cli(t, runtime, session, args, {})
        assert.equal(exitCode, 1)
        const { stores } = JSON.parse(stdout) as { stores: { status: string; code: string; seen: string }[] }
        assert.deepEqual(
          stores.map(({ status, code }) => [status, code]),
          [['failed', 'store-unwritable']],
        )
        assert.match(stores[0]?.seen ?? '', why)
        assert.deepEqual(readdirSync(policies), ['policies.json'])
      })

      for (const thread of ['worker', 'main']) {
        it(`keeps the thread of a program from nothing: ${thread}`, async (t) => {
          const session = createSession(t, self, system.environment)
          const args = [self.programFile(PROGRAM), self.packageUrl, JSON.stringify({ thread })]
          const name = 'CCR_UPSTREAM_PROXY_GATEWAY_CA'
          const env = { ...session.env, [name]: strange(session, name) }
          const program = new ProxyProcess(t, runtime.path, args, { env, cwd: session.directory })
          const report = await program.next<Report & DisabledReport>()
          assert.equal(report.code, 'config-invalid')
          assert.match(report.reason, why)
          program.endInput()
          assert.equal((await program.ended).exitCode, 0)
          assert.deepEqual(listTree(session.temporary), [])
        })
      }

      if (runtime.kind === 'bun')
        it('that Bun itself would read does not keep one from the environment of a relay', async (t) => {
          const session = createSession(t, self, system.environment)
          const args = [CLI_FILE, 'relay', '--json']
          const relay = new RunningProcess(t, runtime.path, args, { env: session.env, cwd: session.directory })
          await relay.until(/\n/)
          const [folder = ''] = readdirSync(session.temporary)
          rmSync(join(session.temporary, folder, 'status', 'socket'))
          const env = { [EXTRA]: strange(session, EXTRA) }
          const { exitCode, stderr } = await cli(t, runtime, session, ['env'], env)
          assert.equal(exitCode, 0, stderr)
        })

      if (runtime.kind === 'bun')
        it('that Bun itself would read keeps the proxy off, and the command runs', async (t) => {
          const session = createSession(t, self, system.environment)
          const env = { [EXTRA]: strange(session, EXTRA) }
          const { exitCode, stderr } = await cli(t, runtime, session, ['run', '--', 'sh', '-c', 'exit 7'], env)
          assert.equal(exitCode, 7, stderr)
          const [warning] = parseWarnings(stderr)
          assert.equal(warning?.code, 'config-invalid')
          assert.ok(warning?.message.startsWith(EXTRA))
          assert.match(warning?.message ?? '', why)
        })
    })
  }

  if (runtime.kind === 'bun')
    it('in the working directory, where Bun looks for variables, keeps the proxy off', async (t) => {
      const session = createSession(t, self, system.environment)
      assert.equal(spawnSync('mkfifo', [join(session.directory, '.env')]).status, 0)
      const { exitCode, stderr } = await cli(t, runtime, session, ['run', '--', 'sh', '-c', 'exit 7'], {})
      assert.equal(exitCode, 7, stderr)
      const [warning] = parseWarnings(stderr)
      assert.equal(warning?.code, 'working-directory-unsafe')
      assert.match(warning?.message ?? '', /^\.env in the working directory is a pipe/)
    })
})
