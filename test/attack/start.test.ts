// A process that is watched from its start, or told at its start to show what it holds, does not read the token: the
// proxy stays off and the token file stays as it was. The same start opens the process where it is not hardened.

import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { after, describe, it } from 'node:test'
import {
  answerOf,
  filesHolding,
  filesIn,
  hasTokenFile,
  MARK,
  openStage,
  type RunningVictim,
  type Stage,
  TOKEN_FORMS,
  type VictimOptions,
} from '../support/attack.js'
import { debuggersOf, pidBehind } from '../support/attack-debugger.js'
import { findFreePort } from '../support/ca-server.js'
import { describeOnEachRuntime, type TestRuntime } from '../support/runtimes.js'
import { SharedScope } from '../support/temp-dir.js'

const setup = new SharedScope()
const shared = process.platform === 'linux' ? await openStage(setup) : undefined
after(() => setup.end())

const skip = shared === undefined ? 'only Linux hardens' : false
const SECRETS = [...TOKEN_FORMS, MARK]

interface Door {
  readonly title: string
  readonly code: string
  readonly start: VictimOptions
  /** Shows that the door leads somewhere. */
  readonly control?: (victim: RunningVictim, stage: Stage) => void | Promise<void>
  readonly skip?: string | false
}

// -- Tracers ------------------------------------------------------------------------------------------------------------

const TRACE = 'trace.txt'

async function tracers(): Promise<Door[]> {
  const gdb = ['gdb', '-q', '-batch', '-nx', '-iex', 'set debuginfod enabled off', '-ex', 'run', '--args']
  return [
    {
      title: 'strace -f',
      code: 'process-traced',
      start: { under: ['strace', '-f', '-qq', '-s', '4096', '-o', TRACE] },
      control: ({ workingDirectory }) => {
        const trace = join(workingDirectory, TRACE)
        assert.deepEqual(filesHolding([trace], TOKEN_FORMS), [trace])
      },
      skip: (await shared?.canRun('strace', '-V')) ? false : 'strace is not installed',
    },
    {
      title: 'gdb',
      code: 'process-traced',
      start: { under: gdb },
      skip: (await shared?.canRun('gdb', '--version')) ? false : 'gdb is not installed',
    },
  ]
}

// -- Node ------------------------------------------------------------------------------------------------------------------

async function assertDebugger({ process: child }: RunningVictim): Promise<void> {
  const [, url] = await child.until(/Debugger listening on (ws:\S+)/, 'stderr')
  assert.equal(await pidBehind(url), child.pid)
}

/** Heap snapshots are written in the turn in which the signal is seen. */
async function assertSnapshot(victim: RunningVictim, stage: Stage): Promise<void> {
  victim.process.kill('SIGUSR2')
  const snapshots = (): string[] => filesIn(victim.workingDirectory)
  for (let turn = 0; turn < 10 && snapshots().length === 0; turn++) await stage.use(victim)
  assert.match(basename(snapshots()[0] ?? ''), /\.heapsnapshot$/)
}

const NODE_DOORS: readonly Door[] = [
  {
    title: '--inspect',
    code: 'debugger-open',
    start: { runtimeOptions: ['--inspect=127.0.0.1:0'] },
    control: assertDebugger,
  },
  {
    title: 'NODE_OPTIONS with --inspect',
    code: 'debugger-open',
    start: { env: { NODE_OPTIONS: '--inspect=127.0.0.1:0' } },
    control: assertDebugger,
  },
  {
    title: '--heapsnapshot-signal',
    code: 'dump-enabled',
    start: { runtimeOptions: ['--heapsnapshot-signal=SIGUSR2'] },
    control: assertSnapshot,
  },
  {
    title: 'NODE_OPTIONS with --heapsnapshot-signal',
    code: 'dump-enabled',
    start: { env: { NODE_OPTIONS: '--no-warnings --heapsnapshot-signal=SIGUSR2' } },
    control: assertSnapshot,
  },
  {
    title: '--heapsnapshot_signal, as Node spells it too',
    code: 'dump-enabled',
    start: { runtimeOptions: ['--heapsnapshot_signal=SIGUSR2'] },
    control: assertSnapshot,
  },
  {
    title: 'NODE_OPTIONS with --heapsnapshot-signal in quotation marks',
    code: 'dump-enabled',
    start: { env: { NODE_OPTIONS: '"--heapsnapshot-signal=SIGUSR2"' } },
    control: assertSnapshot,
  },
  { title: '--tls-keylog', code: 'dump-enabled', start: { runtimeOptions: ['--tls-keylog=keys.txt'] } },
  { title: 'NODE_DEBUG=http,net,tls', code: 'debug-output', start: { env: { NODE_DEBUG: 'http,net,tls' } } },
  {
    title: 'NODE_DEBUG with a wildcard',
    code: 'debug-output',
    start: { env: { NODE_DEBUG: 'ht*' } },
  },
]

// -- Bun -------------------------------------------------------------------------------------------------------------------

const file =
  (name: string, text: string) =>
  (workingDirectory: string): void =>
    writeFileSync(join(workingDirectory, name), text, { mode: 0o644 })

/** A file of the working directory that turns the debug log on where Bun reads it. */
const environmentFile = (name: string, text: string, env: Record<string, string> = {}): Door => ({
  title: `${name} with ${JSON.stringify(text)}${env.NODE_ENV === undefined ? '' : ` and NODE_ENV=${env.NODE_ENV}`}`,
  code: 'working-directory-unsafe',
  start: { prepare: file(name, text), env },
  control: ({ process: child }) => assert.match(child.stderr, / debug /),
})

const preload = (text: string): Door => ({
  title: `bunfig.toml with ${text}`,
  code: 'working-directory-unsafe',
  start: {
    prepare: (workingDirectory) => {
      file('bunfig.toml', text)(workingDirectory)
      file('evil.js', "process.stderr.write('evil code runs\\n')")(workingDirectory)
    },
  },
  control: ({ process: child }) => assert.match(child.stderr, /^evil code runs$/m),
})

const definition = (name: string, value: string): Door => ({
  title: `bunfig.toml that redefines ${name}`,
  code: 'working-directory-unsafe',
  start: { prepare: file('bunfig.toml', `[define]\n"${name}" = "${value}"\n`) },
})

async function bunDoors(): Promise<Door[]> {
  const url = async (): Promise<string> => `ws://127.0.0.1:${await findFreePort()}/door`
  const [address, option, inherited] = [await url(), await url(), await url()]
  return [
    {
      title: 'BUN_INSPECT',
      code: 'debugger-open',
      start: { env: { BUN_INSPECT: address } },
      control: async ({ pid }) => assert.equal(await pidBehind(address), pid),
    },
    { title: '--inspect', code: 'debugger-open', start: { runtimeOptions: [`--inspect=${option}`] } },
    {
      title: 'BUN_OPTIONS with --inspect',
      code: 'debugger-open',
      start: { env: { BUN_OPTIONS: `--inspect=${inherited}` } },
    },
    { title: 'BUN_CONFIG_VERBOSE_FETCH', code: 'debug-output', start: { env: { BUN_CONFIG_VERBOSE_FETCH: 'curl' } } },
    preload('preload = ["./evil.js"]'),
    preload('"preload" = ["./evil.js"]'),
    definition('process.platform', "'darwin'"),
    definition('process.versions.bun', 'undefined'),
    environmentFile('.env', 'CCR_UPSTREAM_PROXY_LOG=debug'),
    environmentFile('.env.local', 'export CCR_UPSTREAM_PROXY_LOG=debug'),
    environmentFile('.env.development', 'CCR_UPSTREAM_PROXY_LOG=debug'),
    environmentFile('.env.production', 'CCR_UPSTREAM_PROXY_LOG=debug', { NODE_ENV: 'production' }),
    { ...environmentFile('.env.development.local', 'CCR_UPSTREAM_PROXY_LOG=debug') },
    {
      ...environmentFile('.env.development', 'CCR_UPSTREAM_PROXY_LOG=debug', { NODE_ENV: 'staging' }),
    },
    { ...environmentFile('.env', 'CCR_UPSTREAM_PROXY_LOG: debug') },
    environmentFile('.env', 'A=1\rCCR_UPSTREAM_PROXY_LOG=debug'),
    environmentFile('.env', '\ufeffCCR_UPSTREAM_PROXY_LOG=debug'),
  ]
}

// -- The test of all of them -------------------------------------------------------------------------------------------------

async function doorsOf({ kind }: TestRuntime): Promise<readonly Door[]> {
  return [...(await tracers()), ...(kind === 'node' ? NODE_DOORS : await bunDoors())]
}

const doors = new Map([
  ['node', await doorsOf({ kind: 'node', name: '', path: '' })],
  ['bun', await doorsOf({ kind: 'bun', name: '', path: '' })],
])

describeOnEachRuntime('a start that opens a door', (runtime) => {
  const stage = shared as Stage

  describe('reads no token', { concurrency: 2, skip }, () => {
    for (const { title, code, start, control, ...door } of doors.get(runtime.kind) ?? []) {
      it(`with ${title}: ${code}`, { skip: door.skip ?? false }, async (t) => {
        if (control) {
          const open = await stage.start(t, runtime, { ...start, exposed: true })
          await control(open, stage)
          await stage.end(open)
        }
        const victim = await stage.launch(t, runtime, start)
        const answer = await answerOf(victim)
        assert.equal(answer.enabled, false, 'the proxy is on')
        assert.equal(answer.enabled || answer.code, code)
        assert.ok(hasTokenFile(victim), 'the token file was touched')
        const { stdout, stderr } = await victim.process.ended
        assert.match(stderr, new RegExp(`^ccr-upstream-proxy: warn \\[${code}\\] .+; hint: `, 'm'))
        const needles = start.under === undefined ? SECRETS : TOKEN_FORMS
        assert.ok(!needles.some((needle) => `${stdout}${stderr}`.includes(needle)))
        assert.deepEqual(filesHolding(filesIn(victim.session.directory), needles), [])
      })
    }
  })

  // Bun writes no reports.
  if (runtime.kind === 'node')
    it('with --report-on-signal leaves no report', { skip }, async (t) => {
      const start: VictimOptions = { env: { NODE_OPTIONS: '--report-on-signal --report-signal=SIGUSR2' } }
      const control = await stage.start(t, runtime, { ...start, exposed: true })
      control.process.kill('SIGUSR2')
      await control.process.until(/Node\.js report completed/, 'stderr')
      const reports = filesIn(control.workingDirectory)
      assert.deepEqual(filesHolding(reports, [MARK]), reports)
      const victim = await stage.start(t, runtime, start)
      victim.process.kill('SIGUSR2')
      await victim.process.ended
      assert.deepEqual(filesIn(victim.workingDirectory), [])
    })

  // Node reads no files of the working directory.
  if (runtime.kind === 'bun')
    it('goes on where Bun was told not to read the working directory', { skip }, async (t) => {
      const victim = await stage.start(t, runtime, {
        runtimeOptions: ['--config=/dev/null', '--no-env-file'],
        prepare: (workingDirectory) => {
          preload('preload = ["./evil.js"]').start.prepare?.(workingDirectory)
          file('.env', 'CCR_UPSTREAM_PROXY_LOG=debug')(workingDirectory)
        },
      })
      assert.equal(victim.process.stderr, '')
      assert.deepEqual(await debuggersOf(victim.pid), [])
      assert.ok(!existsSync(victim.session.tokenFile))
      assert.equal(readFileSync(join(victim.workingDirectory, '.env'), 'utf8'), 'CCR_UPSTREAM_PROXY_LOG=debug')
    })
})
