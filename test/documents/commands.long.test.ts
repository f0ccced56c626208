// Every command of a document does what the document says. The commands of one document run in one shell, in order, on the
// stage of the demo; not-run.ts has those that cannot be run, and what is looked at instead.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { commandDocuments, documentText, type FencedBlock, fencedBlocks } from './markdown.js'
import { checkNotRun, unusedReasons } from './not-run.js'
import { BUN, createPlace, type Place } from './place.js'
import { consoleCommands, type ShellCommand, scriptCommands, withoutComment } from './shell-commands.js'
import type { ShellSession } from './shell-session.js'
import { assertShown, isShown } from './shown-output.js'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

/** Commands that go on until they are told to end, and what they write when they work. */
const SERVING: readonly (readonly [RegExp, RegExp])[] = [
  [/ccr-upstream-gateway serve /, /listening on /],
  [/ccr-upstream-proxy(?:\)")? relay/, /"enabled":true/],
]

/** The build is there, and a test cannot install; the rest is as it stands. */
const DEMO_SHELL = 'npm ci && npm run --silent demo -- --shell'

/** How long the audit of a tunnel that is over may take to be written. */
const AUDIT_WAIT_MS = 60_000

/** Programs that not every machine has. */
const OPTIONAL_PROGRAMS = ['curl', 'haproxy', 'bun'] as const

/** The languages of blocks that are run. Programs of other documents than the README are for examples.test.ts. */
const runnable = (path: string): readonly string[] => ['sh', 'console', ...(path === 'README.md' ? ['js'] : [])]

describe('the commands of the documents', { concurrency: 2, timeout: 1_800_000 }, () => {
  for (const path of commandDocuments()) {
    const elsewhere = testOfItsOwn(path)
    if (elsewhere !== undefined) {
      test(`${path}: ${elsewhere} runs them`, () => {
        assert.match(documentText(elsewhere), /README/)
      })
      continue
    }
    test(path, async (t) => {
      const blocks = fencedBlocks(documentText(path)).filter(({ language }) => runnable(path).includes(language))
      if (blocks.length === 0) return
      const place = await createPlace(t, path)
      for (const block of blocks) await runBlock(t, place, path, block)
    })
  }

  test('no reason for not running a command is left over', () => {
    const commands = commandDocuments()
      .flatMap((path) => fencedBlocks(documentText(path)))
      .flatMap((block) => commandsOf(block))
      .map(({ text }) => withoutComment(text))
    assert.deepEqual(unusedReasons(commands), [])
  })
})

/** An example has needs of its own, and a test of its own that runs its README; so has the gateway. */
function testOfItsOwn(path: string): string | undefined {
  if (path === 'gateway/README.md') return 'test/documents/quick-start.long.test.ts'
  const name = /^examples\/([^/]+)\/README\.md$/.exec(path)?.[1]
  if (name === undefined) return undefined
  const candidates = ['test.ts', 'long.test.ts'].map((ending) => `test/examples/${name}.${ending}`)
  return candidates.find((file) => existsSync(join(ROOT, file))) ?? candidates[0]
}

function commandsOf({ language, text }: FencedBlock): readonly ShellCommand[] {
  if (language === 'console') return consoleCommands(text)
  return language === 'sh' ? scriptCommands(text) : []
}

async function runBlock(t: TestContext, place: Place, path: string, block: FencedBlock): Promise<void> {
  place.stage.provideToken()
  let missing: string | undefined
  for (const command of commandsOf(block)) {
    const text = withoutComment(command.text)
    const name = `${path}:${block.line}: ${text.split('\n')[0]}`
    // What a dialogue shows comes of what was done in it before.
    missing = (block.language === 'console' ? missing : undefined) ?? whyNot(text)
    const reason = text === DEMO_SHELL ? undefined : checkNotRun(text)
    if (reason !== undefined) await t.test(`${name}: checked, not run: ${reason}`, () => {})
    else await t.test(name, { skip: missing }, () => runCommand(place, command))
  }
  await place.shell.leave()
  if (block.language === 'js') {
    await t.test(`${path}:${block.line}: the example`, () => runExample(place, block))
  }
}

/** The program that a command needs and that is missing here. */
function whyNot(command: string): string | undefined {
  const missing = OPTIONAL_PROGRAMS.find((name) => {
    return new RegExp(`\\b${name} `).test(command) && !hasProgram(name)
  })
  return missing === undefined ? undefined : `${missing} is not installed`
}

function hasProgram(name: string): boolean {
  return name === 'bun' ? BUN !== undefined : spawnSync('sh', ['-c', `command -v ${name}`]).status === 0
}

async function runCommand({ shell }: Place, { text, shown }: ShellCommand): Promise<void> {
  // Another gateway may have the port.
  const command = text.replaceAll('127.0.0.1:8443', '127.0.0.1:0')
  const serving = SERVING.find(([pattern]) => pattern.test(command))
  if (serving !== undefined) {
    await shell.serve(command, serving[1])
    return
  }
  if (command === DEMO_SHELL) {
    await shell.enter(`'${process.execPath}' '${join(ROOT, 'test/dist/demo/demo.js')}' --shell`)
    return
  }
  const { output, exitCode } = await shell.run(command)
  if (shown === undefined) assert.equal(exitCode, 0, output)
  else if (command.startsWith('cat ')) await assertShownSoon(shell, command, output, shown)
  else assertShown(output, shown)
}

/** The audit is written when the tunnel is over, which may be a moment after its client has ended. */
async function assertShownSoon(shell: ShellSession, command: string, first: string, shown: string): Promise<void> {
  const deadline = Date.now() + AUDIT_WAIT_MS
  let output = first
  while (!isShown(output, shown) && Date.now() < deadline) {
    await delay(50)
    output = (await shell.run(command)).output
  }
  assertShown(output, shown)
}

async function runExample({ shell, folder }: Place, { text }: FencedBlock): Promise<void> {
  writeFileSync(join(folder, 'example.mjs'), text)
  const { output, exitCode } = await shell.run('node example.mjs')
  assert.equal(exitCode, 0, output)
  assert.match(output, /the origin got GET/)
}
