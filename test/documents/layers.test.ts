// The layers of doc/architecture.md are those of the code: the tables are read from the document, the imports from the
// sources, so that neither can change without the other.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { documentText, tableRows } from './markdown.js'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const ARCHITECTURE = documentText('doc/architecture.md')

/** What stands in one row of a layer table. */
type Layer = readonly string[]

interface SourceFile {
  /** Relative to the folder of sources. */
  readonly path: string
  /** What is left without comments. */
  readonly code: string
  readonly imports: readonly string[]
}

const namesIn = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name as string)

function readLayers(heading: string): Layer[] {
  return tableRows(ARCHITECTURE, heading).map(([cell = '']) => namesIn(cell))
}

function readSources(folder: string): SourceFile[] {
  return readdirSync(join(ROOT, folder), { recursive: true })
    .map(String)
    .filter((path) => /\.c?ts$/.test(path))
    .sort()
    .map((path) => {
      const code = withoutComments(readFileSync(join(ROOT, folder, path), 'utf8'))
      return { path, code, imports: readImports(path, code) }
    })
}

function withoutComments(text: string): string {
  return text.replaceAll(/^\s*\/\/.*$|\s\/\/ .*$|^\s*\/\*[\s\S]*?\*\/|\/\*\*[\s\S]*?\*\//gm, '')
}

/** Static, dynamic and type imports and requires; those within the sources as paths of the files. */
function readImports(path: string, code: string): string[] {
  const pattern = /(?:^\s*import|\bfrom|\bimport\(|\brequire\()\s*'([^'\s]+)'/gm
  return [...code.matchAll(pattern)].map(([, name]) => {
    if (!name?.startsWith('.')) return name as string
    return posix.join(dirname(path), name).replace(/\.(c?)js$/, '.$1ts')
  })
}

/** The member of the table that a file belongs to; the file itself where the table has none. */
function memberOf(path: string, layers: readonly Layer[]): string | undefined {
  return layers.flat().find((member) => isWithin(path, member))
}

function isWithin(path: string, member: string): boolean {
  return member.endsWith('/') ? path.startsWith(member) : path === member
}

function mayImport(layers: readonly Layer[], from: string, to: string): boolean {
  if (from === to) return true
  const [upper, lower] = [from, to].map((member) => layers.findIndex((members) => members.includes(member)))
  return (upper as number) < (lower as number)
}

/** The first file found that leads back to itself, and the files on the way; undefined where none does. */
function findCircle(sources: readonly SourceFile[]): string[] | undefined {
  const importsOf = new Map(sources.map(({ path, imports }) => [path, imports]))
  const isDone = new Set<string>()
  const visit = (path: string, way: readonly string[]): string[] | undefined => {
    if (way.includes(path)) return [...way.slice(way.indexOf(path)), path]
    if (isDone.has(path)) return undefined
    for (const imported of importsOf.get(path) ?? []) {
      const circle = visit(imported, [...way, path])
      if (circle !== undefined) return circle
    }
    isDone.add(path)
    return undefined
  }
  for (const { path } of sources) {
    const circle = visit(path, [])
    if (circle !== undefined) return circle
  }
  return undefined
}

for (const [folder, heading] of [
  ['src', '## The layers of the proxy'],
  ['gateway/src', '## The layers of the gateway'],
] as const) {
  describe(`the layers of ${folder}`, () => {
    const layers = readLayers(heading)
    const sources = readSources(folder)

    test('every file has its place in the table', () => {
      assert.ok(layers.length > 5 && sources.length > 30)
      const homeless = sources.filter(({ path }) => memberOf(path, layers) === undefined).map(({ path }) => path)
      assert.deepEqual(homeless, [])
    })

    test('imports point down', () => {
      const wrong: string[] = []
      let count = 0
      for (const { path, imports } of sources) {
        for (const imported of imports.filter((name) => /\.c?ts$/.test(name))) {
          count++
          const [from, to] = [memberOf(path, layers), memberOf(imported, layers)]
          if (from === undefined || to === undefined || !mayImport(layers, from, to))
            wrong.push(`${path} → ${imported}`)
        }
      }
      assert.deepEqual(wrong, [])
      assert.ok(count > 100, `only ${count} imports were found`)
    })

    test('no file leads back to itself', () => {
      assert.equal(findCircle(sources)?.join(' → '), undefined)
    })
  })
}

test('the gateway takes nothing of the proxy but its protocol, its deadlines and how it reads files of others', () => {
  const taken = readSources('gateway/src').flatMap(({ path, imports }) => {
    return imports.filter((name) => /ccr-upstream-proxy|^#|^\.\.\/\.\.\//.test(name)).map((name) => ({ path, name }))
  })
  assert.ok(taken.length > 5)
  assert.deepEqual(
    taken.filter(({ name }) => !/^ccr-upstream-proxy\/(?:protocol|deadline|foreign-file)$/.test(name)),
    [],
  )
})

test('policy/ decides by the authority and its own files alone', () => {
  const policy = readSources('gateway/src').filter(({ path }) => path.startsWith('policy/'))
  assert.ok(policy.length > 3)
  const foreign = policy.flatMap(({ imports }) => imports.filter((name) => !/^policy\//.test(name)))
  assert.deepEqual([...new Set(foreign)], ['ccr-upstream-proxy/protocol'])
})

test('protocol/ does no I/O and has no timer', () => {
  const protocol = readSources('src').filter(({ path }) => path.startsWith('protocol/'))
  assert.ok(protocol.length > 5)
  const foreign = protocol.flatMap(({ imports }) => imports.filter((name) => !/\.ts$/.test(name)))
  const harmless = ['node:buffer', 'node:crypto', 'node:os']
  assert.deepEqual(
    foreign.filter((name) => !harmless.includes(name)),
    [],
  )
  const timed = protocol.filter(({ code }) =>
    /\b(?:setTimeout|setInterval|setImmediate|performance|Date\.now|new Date)\b/.test(code),
  )
  assert.deepEqual(timed, [])
})

describe('what has few doors', () => {
  const sources = readSources('src')
  const rows = tableRows(ARCHITECTURE, 'Some things have few doors')

  test('the table names what it is about', () => {
    assert.deepEqual(
      rows.flatMap(([what = '']) => namesIn(what)),
      ['ws', 'node:net', 'Bun.', 'loadAddon', 'process.env', 'process.stdout', 'process.stderr'],
    )
  })

  for (const [what = '', where = ''] of rows) {
    test(`every door of ${what} is used`, () => {
      const users = sources.filter((source) => namesIn(what).some((name) => uses(source, name)))
      const unused = namesIn(where).filter((door) => !users.some(({ path }) => isWithin(path, door)))
      assert.deepEqual(unused, [])
    })

    for (const name of namesIn(what)) {
      test(`${name} is only in ${namesIn(where).join(', ')}`, () => {
        const users = sources.filter((source) => uses(source, name)).map(({ path }) => path)
        assert.ok(users.length > 0, `nobody uses ${name}: is it looked for rightly?`)
        const doors = namesIn(where)
        assert.deepEqual(
          users.filter((path) => !doors.some((door) => isWithin(path, door))),
          [],
        )
      })
    }
  }
})

/** Whether a file imports a module, or names a global or a function of the addon's door. */
function uses({ path, code, imports }: SourceFile, name: string): boolean {
  if (name === 'ws') return imports.includes('ws')
  if (name === 'node:net') return imports.includes('node:net') || imports.includes('net')
  if (name === 'loadAddon') return path !== 'addon.ts' && /\bloadAddon\b/.test(code)
  return new RegExp(`\\b${name.replaceAll('.', '\\.')}${name.endsWith('.') ? '\\w' : '\\b'}`).test(code)
}
