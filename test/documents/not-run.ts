// Commands of the documents that no test can run as they stand, each with the reason, and what is looked at instead.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { documentText } from './markdown.js'

interface NotRun {
  readonly command: RegExp
  readonly reason: string
  /** Throws when the command cannot be right. Syntax, scripts and files of the repository are looked at for all. */
  readonly check?: (command: string) => void
}

const IN_CI = 'it takes too long here; .ci/run runs it'

const NOT_RUN: readonly NotRun[] = [
  { command: /^npm ci && npm (run demo|test)\b/, reason: IN_CI, check: (command) => assertInCi(command) },
  {
    command: /^npm run (prebuild|verify:prebuilds)$/,
    reason: IN_CI,
    check: () => assertInCi('npm run verify:prebuilds'),
  },
  { command: /^npm run (compile|lint|check)$/, reason: 'npm test has run it before the tests' },
  { command: /^npm run (format|doc)$/, reason: 'it would change files while tests read them' },
  {
    command: /^npm run bench/,
    reason: 'it needs a quiet machine; .ci/run runs the short form',
    check: assertBenchOptions,
  },
  {
    command: /^(npm ci && npm pack|npm install (--global )?\S+proxy\S+\.tgz|npx ccr-upstream-proxy .*)$/,
    reason: 'test/documents/install.long.test.ts runs it',
  },
  {
    command: /^(npm ci && .* npm pack --workspace gateway|npm install --global \S+proxy\S+\.tgz \S+gateway\S+\.tgz)$/,
    reason: 'what the gateway depends on comes from a registry, and no test takes packages from one',
  },
  { command: /^docker /, reason: 'it needs a container engine' },
  { command: /^kubectl /, reason: 'it needs a cluster' },
  {
    command: /^ccr-upstream-proxy (un)?install-ca/,
    reason: 'it would change this machine; test/install-ca runs it on trees',
  },
  { command: /^setpriv /, reason: 'it needs root and another user', check: assertKnownOptions },
  {
    command: /^unshare /,
    reason: 'it needs user namespaces, which containers often forbid',
    check: assertKnownOptions,
  },
  { command: /^install /, reason: 'it would change this machine', check: assertKnownOptions },
  { command: /ccr-node --disable-sigusr1/, reason: 'it needs the file that the command before installs' },
  { command: /^node --disable-sigusr1/, reason: 'Node 20 does not know the option' },
]

/** The reason why a command is not run, once it is checked as far as it can be; undefined for one that is to be run. */
export function checkNotRun(command: string): string | undefined {
  const found = NOT_RUN.find((entry) => entry.command.test(command))
  if (found === undefined) return undefined
  assertSyntax(command)
  assertScripts(command)
  assertFiles(command)
  found.check?.(command)
  return found.reason
}

/** The patterns that no command of `commands` is like: they are left over. */
export function unusedReasons(commands: readonly string[]): string[] {
  return NOT_RUN.filter(({ command }) => !commands.some((text) => command.test(text))).map(
    ({ command }) => `${command}`,
  )
}

function assertSyntax(command: string): void {
  const { status, stderr } = spawnSync('bash', ['-n', '-c', command], { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
}

function assertScripts(command: string): void {
  const { scripts } = JSON.parse(documentText('package.json')) as { scripts: Record<string, string> }
  for (const [, name = ''] of command.matchAll(/npm (?:run (?:--silent )?)?(test|(?<=run .*)[\w:]+)/g)) {
    assert.ok(name in scripts, `no script ${name}`)
  }
}

function assertFiles(command: string): void {
  for (const [file] of command.matchAll(/(?<=\s)(?:deploy|doc|test|bench)\/\S*/g)) {
    assert.ok(existsSync(fileURLToPath(new URL(`../../../${file}`, import.meta.url))), `no file ${file}`)
  }
}

function assertInCi(command: string): void {
  const continuousIntegration = documentText('.ci/run').replaceAll('--silent ', '')
  for (const part of command.split('&&')) assert.ok(continuousIntegration.includes(part.trim()), part)
}

function assertBenchOptions(command: string): void {
  const source = documentText('bench/main.ts')
  const [, args = ''] = command.split(' -- ')
  for (const word of args.split(' ').filter((text) => text !== '' && !text.includes('.'))) {
    const name = word.replace(/^--/, '')
    assert.match(source, word.startsWith('--') ? new RegExp(`${name}: \\{ type`) : new RegExp(`^ {2}'?${name}\\b`, 'm'))
  }
}

/** Each option of the program stands in its help. Skipped where the program is missing: other systems have others. */
function assertKnownOptions(command: string): void {
  const [program = ''] = command.split(' ')
  const { error, stdout } = spawnSync(program, ['--help'], { encoding: 'utf8' })
  if (error !== undefined) return
  const own = command.split(/ -- | ccr-upstream-proxy /)[0] ?? ''
  for (const [option] of own.matchAll(/(?<=\s)--?[a-z][a-z-]*/g))
    assert.ok(stdout.includes(option), `${program} ${option}`)
}
