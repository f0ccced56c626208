// Documents and program name the same things: help, options, variables, codes, keys, metrics. What a document names is
// there, and of closed lists each is named.

import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { configKeys } from 'ccr-upstream-gateway'
import * as help from '#src/cli/help.js'
import { allDocuments, documentText, tableRows } from './markdown.js'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

/** Code spans of a text. */
const codeIn = (text: string): string[] => [...text.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code as string)

const documents = allDocuments().filter((path) => path !== 'CHANGELOG.md')

/** Every line of code that may name a variable. */
const sources = ['src', 'gateway/src', 'test', 'bench', 'deploy'].flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true })
    .map(String)
    .filter((path) => /\.(c?ts|yaml|cfg|mjs)$/.test(path) && !/(^|\/)(dist|documents)\//.test(path))
    .map((path) => documentText(join(folder, path))),
)
const isInSources = (name: string): boolean => sources.some((text) => text.includes(name))

test('README shows the help word for word', () => {
  assert.ok(documentText('README.md').includes(`\`\`\`\n${help.USAGE}\`\`\``))
})

test('the drawing of doc/architecture.md names every command', () => {
  const [drawing = ''] = documentText('doc/architecture.md').split('\n## ')
  const commands = [...help.USAGE.matchAll(/^ {2}([a-z][a-z-]+) /gm)].map(([, name]) => name as string)
  assert.ok(commands.length > 5)
  assert.deepEqual(
    commands.filter((name) => !new RegExp(`cli/[^]*[ ]${name} [^]*index\\.ts`).test(drawing)),
    [],
  )
})

test("README's table has every variable of the help, and no other", () => {
  const inTable = tableRows(documentText('README.md'), '### Configuration').flatMap(([cell = '']) => codeIn(cell))
  const [, environment = ''] = help.DOCTOR_USAGE.split('\nEnvironment:\n')
  const inHelp = [...environment.matchAll(/^ {2}([A-Z][A-Z_, ]+[A-Z])\b/gm)].flatMap(([, names = '']) =>
    names.split(', '),
  )
  assert.deepEqual(inTable, inHelp)
})

test('no line of a help is longer than a terminal of 80 columns', async () => {
  const gatewayHelp = (await import(`${new URL('../../../gateway/dist/cli/help.js', import.meta.url)}`)) as typeof help
  const texts = [help, gatewayHelp].map((module) => Object.values(module))
  for (const { length } of texts) assert.ok(length > 4)
  const lines = texts.flat().flatMap((text) => text.split('\n'))
  assert.deepEqual(
    lines.filter((line) => [...line].length > 80),
    [],
  )
})

test("doc/gateway.md's table has every key of the config, and no other", () => {
  const documented = tableRows(documentText('doc/gateway.md'), '## Configuration')
    .flatMap(([cell = '']) => codeIn(cell))
    .flatMap((key) => (key === 'hosts' ? [] : key))
  // One row stands for a whole subtree whose keys are those of the top level.
  const keys = configKeys().map((key) => (key.startsWith('policies.*') ? 'policies.*' : key))
  assert.deepEqual([...new Set(documented)].sort(), [...new Set(keys)].sort())
})

test('config.example.yaml has every key, in the file or in a comment', () => {
  const text = documentText('gateway/config.example.yaml')
  for (const key of configKeys()) {
    const last = key
      .replace(/(\[\]|\.\*)+$/, '')
      .split('.')
      .at(-1)
      ?.replace('[]', '')
    if (['tunnel', 'caCertificate', 'health', 'tokenFile', 'tokenEnv'].includes(last ?? '')) continue
    assert.match(text, new RegExp(`\\b${last}\\b`), key)
  }
})

test("doc/gateway.md has every metric of the gateway's own, and no other", () => {
  const documented = tableRows(documentText('doc/gateway.md'), '## Metrics').flatMap(([cell = '']) => codeIn(cell))
  const own = documentText('gateway/src/audit/metrics.ts').matchAll(/'(ccr_gateway_\w+)'/g)
  assert.deepEqual(documented.sort(), [...own].map(([, name]) => name).sort())
})

for (const path of documents) {
  const text = documentText(path)

  test(`${path}: every variable is in the code`, () => {
    const named = new Set([...text.matchAll(/\b(?:CCR|CLAUDE_CODE)_[A-Z0-9_]+\b/g)].map(([name]) => name))
    assert.deepEqual(
      [...named].filter((name) => !isInSources(name)),
      [],
    )
  })

  test(`${path}: every option of the two commands is in their help`, () => {
    const helps = `${Object.values(help).join('\n')}${documentText('gateway/src/cli/help.ts')}`
    const calls = text.matchAll(/ccr-upstream-(?:proxy|gateway) [a-z-]+((?: +(?!--\s)-[^\s`|]+| +[^\s`|-][^\s`|]*)*)/g)
    const options = [...calls].flatMap(([, rest = '']) => [...rest.matchAll(/(?<=\s)--[a-z-]+/g)].map(([name]) => name))
    assert.deepEqual(
      options.filter((name) => !helps.includes(name)),
      [],
    )
  })

  test(`${path}: every path of the repository is there`, () => {
    const folders = 'src|gateway|test|bench|doc|deploy|native|prebuilds|examples'
    const paths = codeIn(text).filter((code) => new RegExp(`^(?:${folders})/[\\w./-]*$`).test(code))
    assert.deepEqual(
      paths.filter((name) => !isThere(name)),
      [],
    )
  })

  test(`${path}: every script is in package.json`, () => {
    const { scripts } = JSON.parse(documentText('package.json')) as { scripts: Record<string, string> }
    const named = [...text.matchAll(/npm run (?:--silent )?([a-z:]+)/g)].map(([, name]) => name as string)
    assert.deepEqual(
      named.filter((name) => !(name in scripts)),
      [],
    )
  })
}

/** What the build writes is not there in every clone. */
function isThere(path: string): boolean {
  if (path.startsWith('doc/api/')) return true
  try {
    readdirSync(join(ROOT, path))
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOTDIR'
  }
}

for (const [path, heading, column, folder] of [
  ['doc/security.md', '## What is tried', 3, 'attack'],
  ['doc/security.md', '## The gateway between a hostile container', 2, 'gateway'],
  ['doc/gateway.md', '## What it holds to', 1, 'gateway'],
] as const) {
  test(`${path}: what is said under "${heading}" is in the suites of ${folder}/ that it names`, () => {
    const cells = tableRows(documentText(path), heading).map((row) => row[column] ?? '')
    const suites = cells.flatMap((cell) => codeIn(cell).filter((code) => /^[a-z0-9-]+$/.test(code)))
    assert.ok(suites.length >= cells.length && cells.length > 5)
    assert.deepEqual(
      suites.filter((name) => !isSuite(folder, name)),
      [],
    )
  })
}

function isSuite(folder: string, name: string): boolean {
  return ['test', 'long.test'].some((kind) => existsSync(join(ROOT, `test/${folder}/${name}.${kind}.ts`)))
}

test('every word that looks like a code of ours is a word of the code', () => {
  const families =
    /^(?:token|ca|egress|gateway|tunnel|head|connection|session|policy|port|address|forward|debugger|dump|client|target)-[a-z]+(?:-[a-z]+)*$/
  const words = documents.flatMap((path) => {
    return codeIn(documentText(path))
      .filter((code) => families.test(code))
      .map((code) => ({ path, code }))
  })
  assert.ok(words.length > 20)
  assert.deepEqual(
    words.filter(({ code }) => !isInSources(`'${code}'`) && !isSuite('gateway', code)),
    [],
  )
})
