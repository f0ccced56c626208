// CI names the long tests in two places, test:long and test:runtimes: together they are all of them.

import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { documentText } from './markdown.js'

const FOLDER = fileURLToPath(new URL('../../', import.meta.url))

/** The names in the arrays `RELAY` and `OTHERS`. */
function namesOfRuntimes(): readonly string[] {
  const arrays = documentText('test/run-runtimes.mjs').matchAll(/^const (?:RELAY|OTHERS) = \[(.+)\]$/gm)
  return Array.from(arrays, ([, names = '']) =>
    Array.from(names.matchAll(/'([^']+)'/g), ([, name = '']) => name),
  ).flat()
}

test('every long test is run by CI', () => {
  const [, words = ''] = / test:long -- (.+)$/m.exec(documentText('.ci/run')) ?? []
  const named = [...words.split(' '), ...namesOfRuntimes()]
  const files = readdirSync(FOLDER, { recursive: true }).map(String)
  const long = files.filter((path) => path.endsWith('.long.test.ts') && !path.startsWith('dist'))
  assert.ok(long.length > 10 && named.length > 10, `${long.length} tests, ${named.length} names`)
  assert.deepEqual(
    long.filter((path) => !named.some((name) => name !== '' && path.includes(name))),
    [],
  )
})
