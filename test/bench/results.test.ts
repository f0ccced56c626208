// The figures that are saved, and what is made of them: the text of --show, and the pictures of bench/README.md.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { drawPictures } from '#bench/pictures.js'
import { readEntries, toJson } from '#bench/results.js'

const FOLDER = new URL('../../../bench/', import.meta.url)
const entries = Object.entries(readEntries())
const names = entries.map(([name]) => name)
const readText = (path: string) => readFileSync(new URL(path, FOLDER), 'utf8')

function runBench(...args: string[]) {
  return spawnSync(process.execPath, [fileURLToPath(new URL('dist/main.js', FOLDER)), ...args], { encoding: 'utf8' })
}

/** What --show prints, by benchmark. */
function showSections(...args: string[]): Map<string, string> {
  const { stdout, status } = runBench('--show', ...args)
  assert.equal(status, 0)
  const sections = stdout.split(/\n\n(?=[\w-]+: (?:Node|Bun) )/)
  return new Map(sections.map((text) => [text.split(':', 1)[0] ?? '', text]))
}

it('the pictures are those of results.json (npm run bench -- --draw)', () => {
  const committed = readdirSync(new URL('pictures/', FOLDER)).map(
    (file) => [file, readText(`pictures/${file}`)] as const,
  )
  assert.deepEqual(new Map(committed), drawPictures(readEntries()))
})

it('bench/README.md shows each picture', () => {
  const shown = [...readText('README.md').matchAll(/!\[[^\]]+\]\(pictures\/(\S+)\)/g)].map(([, file]) => file)
  assert.deepEqual(shown, [...drawPictures(readEntries()).keys()])
})

it('--show prints every figure, goal and note that is saved', () => {
  const sections = showSections()
  assert.deepEqual([...sections.keys()], names)
  for (const [name, { rows, goals, notes, date, commit }] of entries) {
    const cells = rows.flatMap((row) => Object.values(row).map((cell) => cell.toLocaleString('en')))
    const verdicts = goals.map(({ verdict, title, ratio }) => `${verdict.padEnd(7)}  ${title}: ${ratio} `)
    for (const text of [date, commit, ...cells, ...verdicts, ...notes])
      assert.ok(sections.get(name)?.includes(text), `${name}: ${text}`)
  }
})

it('--show prints what is named', () => {
  assert.deepEqual([...showSections('tunnels', 'echo').keys()], ['tunnels', 'echo'])
})

it('every benchmark has figures, and those of the short form are not saved', () => {
  const before = readText('results.json')
  const { status, stdout, stderr } = runBench('--short', '--save')
  assert.deepEqual([status, stdout, readText('results.json')], [2, '', before])
  const [, list = ''] = stderr.split('all of:\n')
  const known = [...list.matchAll(/^ {2}(\S+)/gm)].map(([, name]) => name)
  assert.deepEqual(known, names)
})

it('results.json has a line for each row and goal', () => {
  const text = readText('results.json')
  assert.equal(text, toJson(readEntries()))
  const figures = entries.flatMap(([, { rows, goals }]) => [...rows, ...goals])
  assert.equal(text.match(/^ *\{ .* \},?$/gm)?.length, figures.length)
})
