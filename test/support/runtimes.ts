// The JavaScript runtimes that the relay is tested on: the Node that runs the tests, Bun when it is installed, and
// those named in CCR_TEST_RUNTIMES as `name=path,name=path`.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'

export interface TestRuntime {
  readonly name: string
  readonly kind: 'node' | 'bun'
  /** The binary. */
  readonly path: string
}

const MODULES = fileURLToPath(new URL('../../../node_modules/', import.meta.url))
const ARCHITECTURE = process.arch === 'arm64' ? 'aarch64' : process.arch

function findBun(): string | undefined {
  const packages = [`bun-${process.platform}-${ARCHITECTURE}`, `bun-${process.platform}-${ARCHITECTURE}-baseline`]
  return packages.map((name) => join(MODULES, '@oven', name, 'bin/bun')).find((path) => existsSync(path))
}

function namedRuntimes(list: string): TestRuntime[] {
  return list
    .split(',')
    .filter((entry) => entry !== '')
    .map((entry) => {
      const at = entry.indexOf('=')
      const [name, path] = [entry.slice(0, at), entry.slice(at + 1)]
      if (at < 1 || !existsSync(path)) throw new Error(`CCR_TEST_RUNTIMES: ${entry} is no name=path of a binary`)
      return { name, kind: name.startsWith('bun') ? 'bun' : 'node', path }
    })
}

function findRuntimes(): TestRuntime[] {
  const named = namedRuntimes(process.env.CCR_TEST_RUNTIMES ?? '')
  if (named.length > 0) return named
  const here: TestRuntime = { name: `node ${process.versions.node}`, kind: 'node', path: process.execPath }
  const bun = findBun()
  return bun === undefined ? [here] : [here, { name: 'bun', kind: 'bun', path: bun }]
}

/** Never empty. With CCR_TEST_RUNTIMES only those. */
export const runtimes: readonly TestRuntime[] = findRuntimes()

/** Why Bun is not among them, where it should be. */
const bunSkipReason: string | undefined =
  process.env.CCR_TEST_RUNTIMES || runtimes.some(({ kind }) => kind === 'bun')
    ? undefined
    : 'Bun is not installed: its optional package is missing in node_modules/@oven'

/** Whether suites run in the size that a release is held to: all of them, which takes hours, or with `relay` those of the relay. */
export const IS_LARGE = process.env.CCR_TEST_LARGE === '1'
export const IS_RELAY_LARGE = IS_LARGE || process.env.CCR_TEST_LARGE === 'relay'

/** One suite a runtime; a skipped test with the reason where Bun is missing. */
export function describeOnEachRuntime(title: string, suite: (runtime: TestRuntime) => void): void {
  // What hangs shall fail, and a busy machine shall not.
  for (const runtime of runtimes) describe(`${runtime.name}: ${title}`, { timeout: 1_800_000 }, () => suite(runtime))
  if (bunSkipReason !== undefined) test(`bun: ${title}`, { skip: bunSkipReason }, () => {})
}
