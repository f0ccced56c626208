// What can lie where a file is expected: each is read, or refused with a sentence, and none makes the reader wait. The reader is a
// process of its own, for one that waits could not be ended otherwise. Costs 0.5 s of CPU.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, it } from 'node:test'
import type { FileRules } from '#src/foreign-file.js'
import { run } from './support/cli-process.js'
import { describeOnEachRuntime } from './support/runtimes.js'
import { createTempDirectory, type Scope, SharedScope } from './support/temp-dir.js'

const READER = `
const { readForeignFile } = await import(process.argv[1])
for (const [path, rules] of JSON.parse(process.argv[2])) {
  const { problem, why, bytes } = readForeignFile(path, rules)
  console.log(problem ? problem + ': ' + why : bytes.toString('latin1'))
}`

const RULES: FileRules = { maxBytes: 1_000 }

interface Case {
  readonly title: string
  readonly make: (path: string, scope: Scope) => void | Promise<void>
  readonly rules?: FileRules
  readonly said: string
}

const makePipe = (path: string): void => {
  assert.equal(spawnSync('mkfifo', [path]).status, 0)
}

const CASES: readonly Case[] = [
  { title: 'a file', make: (path) => writeFileSync(path, 'text'), said: 'text' },
  { title: 'an empty file', make: (path) => writeFileSync(path, ''), said: '' },
  { title: 'nothing', make: () => {}, said: 'missing: does not exist' },
  {
    title: 'a file that is as long as it may be',
    make: (path) => writeFileSync(path, 'x'.repeat(1_000)),
    said: 'x'.repeat(1_000),
  },
  {
    title: 'a file that is longer',
    make: (path) => writeFileSync(path, 'x'.repeat(1_001)),
    said: 'too-large: is longer than 1000 bytes',
  },
  {
    title: 'a file of terabytes',
    make: (path) => {
      writeFileSync(path, '')
      truncateSync(path, 2 ** 42)
    },
    said: 'too-large: is longer than 1000 bytes',
  },
  { title: 'a pipe without a writer', make: makePipe, said: 'not-regular: is a pipe, and no regular file' },
  {
    title: 'a device',
    make: (path) => symlinkSync('/dev/zero', path),
    said: 'not-regular: is a device, and no regular file',
  },
  { title: 'a link to /dev/null', make: (path) => symlinkSync('/dev/null', path), said: '' },
  { title: 'a folder', make: (path) => mkdirSync(path), said: 'folder: is a folder, and no file' },
  {
    title: 'a socket',
    make: (path, scope) =>
      new Promise((resolve) => {
        const server = createServer().listen({ path }, resolve)
        scope.after(() => void server.close())
      }),
    said: 'not-regular: is a socket or a device, and no regular file',
  },
  {
    title: 'a link in a circle',
    make: (path) => symlinkSync(path, path),
    said: 'not-regular: is a symbolic link, or one of too many',
  },
  {
    title: 'a link to a file',
    make: (path) => {
      writeFileSync(`${path}.target`, 'text')
      symlinkSync(`${path}.target`, path)
    },
    said: 'text',
  },
  {
    title: 'a link where none may be',
    make: (path) => symlinkSync('/etc/passwd', path),
    rules: { ...RULES, mayBeLink: false },
    said: 'not-regular: is a symbolic link, or one of too many',
  },
  {
    title: 'a file of this user',
    make: (path) => writeFileSync(path, 'text', { mode: 0o644 }),
    rules: { ...RULES, owner: process.getuid?.() },
    said: 'text',
  },
  {
    title: 'a file of another user',
    make: (path) => writeFileSync(path, 'text', { mode: 0o644 }),
    rules: { ...RULES, owner: 54_321 },
    said: `foreign: belongs to user ${process.getuid?.()}`,
  },
  {
    title: 'a file that others can write',
    make: (path) => {
      writeFileSync(path, 'text')
      chmodSync(path, 0o620)
    },
    rules: { ...RULES, owner: process.getuid?.() },
    said: 'foreign: can be written by other users',
  },
]

describeOnEachRuntime('what is read of', (runtime) => {
  const scope = new SharedScope()
  const answers = new Map<string, string>()
  after(() => scope.end())
  before(async () => {
    const folder = createTempDirectory(scope)
    const asked = CASES.map(({ rules = RULES }, index) => [join(folder, `${index}`), rules] as const)
    for (const [index, { make }] of CASES.entries()) await make(asked[index]?.[0] ?? '', scope)
    const options = runtime.kind === 'bun' ? ['-e'] : ['--input-type=module', '-e']
    const args = [...options, READER, import.meta.resolve('#src/foreign-file.js'), JSON.stringify(asked)]
    const { stdout, stderr } = await run(scope, runtime.path, args, { env: { PATH: process.env.PATH } })
    const lines = stdout.split('\n')
    assert.equal(lines.length, CASES.length + 1, stderr)
    for (const [index, { title }] of CASES.entries()) answers.set(title, lines[index] ?? '')
  })

  for (const { title, said } of CASES) it(title, () => assert.equal(answers.get(title), said))
})
