// Doors that a start may open, on each runtime: what is tried with each of them is the same.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import {
  answerOf,
  filesHolding,
  filesIn,
  hasTokenFile,
  MARK,
  type RunningVictim,
  type Stage,
  TOKEN_FORMS,
  type VictimOptions,
} from '../support/attack.js'
import { pidBehind } from '../support/attack-debugger.js'
import { freePort } from '../support/listening.js'
import type { TestRuntime } from '../support/runtimes.js'
import type { Scope } from '../support/temp-dir.js'

const SECRETS = [...TOKEN_FORMS, MARK]

export interface Door {
  readonly title: string
  readonly code: string
  readonly start: VictimOptions
  /** Shows that the door leads somewhere. */
  readonly control?: (victim: RunningVictim, stage: Stage) => void | Promise<void>
  readonly skip?: string | false
}

/** Shows that the door is open in a process that is not hardened, and that the token is not read beside it. */
export async function tryDoor(t: Scope, stage: Stage, runtime: TestRuntime, door: Door): Promise<void> {
  const { code, start, control } = door
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
}

/** One of each code and runtime. */
const CORE = [
  '--inspect',
  '--heapsnapshot-signal',
  'NODE_DEBUG=http,net,tls',
  'BUN_CONFIG_VERBOSE_FETCH',
  'bunfig.toml with preload = ["./evil.js"]',
]

export function isCore({ title }: Door): boolean {
  return CORE.includes(title)
}

/** What either runtime can be told. */
export async function doorsOf({ kind }: Pick<TestRuntime, 'kind'>): Promise<readonly Door[]> {
  return kind === 'node' ? NODE_DOORS : await bunDoors()
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

export const file =
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

export const preload = (text: string): Door => ({
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
  const url = async (): Promise<string> => `ws://127.0.0.1:${await freePort()}/door`
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
