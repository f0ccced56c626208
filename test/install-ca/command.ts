// Calls of `install-ca` and `uninstall-ca`, and the one assertion that matters most: nothing is left.

import assert from 'node:assert/strict'
import { CLI_FILE, type Outcome, run } from '../support/cli-process.js'
import type { Scope } from '../support/temp-dir.js'
import { type Photograph, photograph, withoutTimes } from './scratch-root.js'

/** One store in the answer. */
export interface Report {
  readonly store: string
  readonly path?: string
  readonly status: string
  readonly code?: string
  readonly seen?: string
  readonly hint?: string
}

/** The answer of a call with --json. */
export interface Answer {
  readonly exitCode: number | null
  readonly ok: boolean
  readonly code?: string
  readonly reason?: string
  readonly stores: readonly Report[]
}

/** How a call differs from one by the tests' own user with Node. */
export interface CallOptions {
  readonly program?: readonly string[]
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly uid?: number
  readonly gid?: number
}

/** Calls the command line. */
export function call(t: Scope, args: readonly string[], options: CallOptions = {}): Promise<Outcome> {
  const { program = [process.execPath, CLI_FILE], env = {}, ...ids } = options
  const [file = '', ...first] = program
  const { PATH, TMPDIR } = process.env
  return run(t, file, [...first, ...args], { env: { PATH, TMPDIR, ...env }, cwd: '/', ...ids })
}

/** Calls it with --json; standard error must be empty. */
export async function ask(t: Scope, args: readonly string[], options?: CallOptions): Promise<Answer> {
  const { exitCode, stdout, stderr } = await call(t, [...args, '--json'], options)
  assert.equal(stderr, '')
  assert.match(stdout, /^[^\n]+\n$/)
  return { exitCode, ...(JSON.parse(stdout) as Omit<Answer, 'exitCode'>) }
}

/** Installs; every store must have succeeded. */
export async function install(t: Scope, root: string, caFile: string, ...args: string[]): Promise<readonly Report[]> {
  const answer = await ask(t, ['install-ca', '--root', root, '--ca-file', caFile, ...args])
  assert.deepEqual([answer.exitCode, answer.ok], [0, true], JSON.stringify(answer.stores))
  return answer.stores
}

/** Uninstalls; every store must have succeeded. */
export async function uninstall(t: Scope, root: string): Promise<readonly Report[]> {
  const answer = await ask(t, ['uninstall-ca', '--root', root])
  assert.deepEqual([answer.exitCode, answer.ok], [0, true], JSON.stringify(answer.stores))
  return answer.stores
}

/** The status of each store, in order. */
export function statuses(stores: readonly Report[]): readonly string[] {
  return stores.map(({ store, status }) => `${store}: ${status}`)
}

/** What node:fs can set: a double has no room for the nanoseconds of our time. */
const TIME_TOLERANCE_NS = 10_000n

/** Fails with the paths that differ. */
export function assertSameTree(root: string, before: Photograph): void {
  const now = photograph(root)
  assert.deepEqual(withoutTimes(now), withoutTimes(before))
  const later = Object.entries(before).filter(([path, { timeNs }]) => {
    const difference = (now[path]?.timeNs ?? 0n) - timeNs
    return difference > TIME_TOLERANCE_NS || difference < -TIME_TOLERANCE_NS
  })
  assert.deepEqual(
    later.map(([path, { timeNs }]) => ({ path, before: timeNs, now: now[path]?.timeNs })),
    [],
  )
}
