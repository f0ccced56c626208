// The doctor as tests see it: a process of its own on any runtime, whose report is taken apart, and which must have left
// everything as it was.

import assert from 'node:assert/strict'
import { CLI_FILE, type Outcome, run } from '../support/cli-process.js'
import { type Session, TOKEN } from '../support/system.js'
import type { Scope } from '../support/temp-dir.js'
import { listTree } from '../support/unprivileged.js'

/** One check, as `--json` prints it. */
export interface Check {
  readonly id: string
  readonly status: 'pass' | 'warn' | 'fail' | 'skip'
  readonly group: string
  readonly code?: string
  readonly hop?: string
  readonly seen?: string
  readonly hint?: string
  readonly stages?: Readonly<Record<string, number>>
}

/** What it says with `--json`. */
export interface Diagnosis {
  readonly ok: boolean
  readonly checks: readonly Check[]
}

/** How it is run. */
export interface DoctorRun {
  readonly session: Session
  readonly args?: readonly string[]
  /** Over the session's environment; undefined takes a variable away. No client is found unless PATH is given. */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly runtimePath?: string
  readonly cliFile?: string
  readonly ids?: { readonly uid?: number; readonly gid?: number }
  /** What the command line begins with: a program that runs the rest. */
  readonly prefix?: readonly string[]
}

/** The examination has 15 seconds, whatever it finds; the rest is for a machine that has much else to do. */
const MOST_SECONDS = 60

/** Runs the doctor, and makes sure that it is in time, changes nothing, and tells no secret. */
export async function runDoctor(scope: Scope, options: DoctorRun): Promise<Outcome> {
  const { session, args = ['--json'], env = {}, runtimePath = process.execPath, cliFile = CLI_FILE, ids } = options
  const [program = '', ...rest] = [...(options.prefix ?? []), runtimePath, cliFile, 'doctor', ...args]
  const before = listTree(session.directory)
  const start = performance.now()
  const outcome = await run(scope, program, rest, {
    // Bun keeps a cache of what it has compiled in the home of whoever runs it.
    env: { ...session.env, PATH: '', BUN_RUNTIME_TRANSPILER_CACHE_PATH: '0', ...env },
    cwd: session.directory,
    ...ids,
  })
  const seconds = (performance.now() - start) / 1000
  assert.ok(seconds < MOST_SECONDS, `it took ${seconds.toFixed(1)} seconds`)
  assert.deepEqual(listTree(session.directory), before)
  assertSilentAbout(TOKEN, outcome)
  assert.equal(outcome.stderr, '')
  return outcome
}

/** Neither the token nor its usual disguises. */
function assertSilentAbout(secret: string, { stdout, stderr }: Outcome): void {
  const forms = [secret, encodeURIComponent(secret), Buffer.from(secret).toString('base64').slice(0, 40)]
  for (const form of forms) assert.ok(!`${stdout}${stderr}`.includes(form))
}

/** The report; every check that fails or warns says what, where and what next. */
export function diagnosisOf({ stdout, exitCode }: Outcome): Diagnosis {
  assert.match(stdout, /^[^\n]+\n$/)
  const diagnosis = JSON.parse(stdout) as Diagnosis
  const hasFailed = diagnosis.checks.some(({ status }) => status === 'fail')
  assert.equal(diagnosis.ok, !hasFailed)
  assert.equal(exitCode, hasFailed ? 1 : 0)
  for (const { id, status, seen, code, hop, hint } of diagnosis.checks) {
    assert.ok(seen, id)
    if (status === 'fail' || status === 'warn') assert.ok(code && hop && hint, id)
  }
  return diagnosis
}

/** The check of that name. */
export function checkOf({ checks }: Diagnosis, id: string): Check {
  const found = checks.find((check) => check.id === id)
  assert.ok(found, `there is no check ${id}`)
  return found
}

/** The codes of what failed, by check. */
export function failuresOf({ checks }: Diagnosis): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries(checks.filter(({ status }) => status === 'fail').map(({ id, code }) => [id, code]))
}
