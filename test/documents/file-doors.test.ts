// Who opens files by itself. Everything else reads through foreign-file.ts, which waits for nothing and takes no more than it may.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

/** What opens a file that is there, by any path. */
const OPENING = [
  ...['open', 'openSync', 'readFile', 'readFileSync', 'createReadStream', 'openAsBlob'],
  ...['copyFile', 'copyFileSync', 'cp', 'cpSync'],
]

/** Each file that does, and why it may. */
const DOORS: Readonly<Record<string, string>> = {
  'src/foreign-file.ts': 'it is the door of all others',
  'src/system/token-file.ts': 'the token, by rules of its own, without waiting',
  'src/relay/line-file.ts': 'appends, without waiting',
  'src/system/install-ca/path-state.ts': 'makes new files',
  'src/runtime/descriptors.ts': 'a table of the kernel, and /dev/null',
  'src/runtime/bun-open.ts': '/dev/null',
  'src/addon.ts': 'a file of this package',
  'src/cli/main.ts': 'a file of this package',
  'src/system/children/child-files.ts': 'a file of this package',
  'gateway/src/cli/main.ts': 'a file of this package',
  'gateway/src/audit/line-writer.ts': 'appends to what the operator names',
}

/** What a source imports of node:fs, by name; the whole module as `*`. */
function importsOfFs(text: string): string[] {
  const named = [
    ...text.matchAll(/\bimport\s+(?:type\s+)?(\{[^}]*\}|[^{}'"]+?)\s+from\s+'(?:node:)?fs(?:\/promises)?'/g),
  ]
  const loaded = /\b(?:import|require|getBuiltinModule)\(\s*'(?:node:)?fs(?:\/promises)?'/.test(text)
  const names = named.flatMap(([, what = '']) =>
    what.startsWith('{')
      ? what
          .slice(1, -1)
          .split(',')
          .map((name) => name.trim().split(/\s+as\s+/)[0] as string)
      : ['*'],
  )
  return loaded ? [...names, '*'] : names
}

const sources = ['src', 'gateway/src'].flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true })
    .map(String)
    // What is preloaded runs in the client's process.
    .filter((path) => path.endsWith('.ts') && !path.includes('/preload/'))
    .map((path) => ({ path: `${folder}/${path}`, names: importsOfFs(readFileSync(join(ROOT, folder, path), 'utf8')) })),
)

test('files are opened where the list of doors says, and nowhere else', () => {
  const opening = sources.filter(({ names }) => names.some((name) => OPENING.includes(name)))
  assert.deepEqual(opening.map(({ path }) => path).sort(), Object.keys(DOORS).sort())
})

test('nobody takes the file system as a whole, by which it could open anything', () => {
  assert.ok(sources.filter(({ names }) => names.includes('lstatSync')).length > 3, 'no import is found any more')
  const whole = sources.filter(({ names }) => names.includes('*') || names.includes('promises'))
  assert.deepEqual(
    whole.map(({ path }) => path),
    [],
  )
})
