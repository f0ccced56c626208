// examples/README.md: its table and the folders are the same.

import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { exampleFile } from './example.js'

test('the list of examples names every one, and each has a README and a test', () => {
  const folders = readdirSync(exampleFile(''), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
  const list = readFileSync(exampleFile('README.md'), 'utf8')
  const named = Array.from(list.matchAll(/^\| \[([\w-]+)\]\(\1\/README\.md\) \|/gm), ([, name]) => name)
  assert.deepEqual(named.sort(), folders.sort())
  for (const name of folders) {
    assert.ok(existsSync(exampleFile(`${name}/README.md`)), name)
    const tests = ['test.ts', 'long.test.ts'].map((ending) => exampleFile(`../test/examples/${name}.${ending}`))
    assert.ok(tests.some(existsSync), name)
  }
})
