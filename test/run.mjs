// Builds what is stale, then runs the tests: those that need no foreign program, or with `--long` the others (*.long.test.ts). With
// words only those whose path holds one of them; then either kind, unless `--long` or `--short` says which. It goes by the sources,
// so that what an earlier build left in test/dist is not run.

import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('.', import.meta.url))
const root = join(folder, '..')
const LONG = '.long.test.ts'
/** What takes longest, longest first: at the end each would keep one core waiting. */
const FIRST = [
  'matrix/matrix',
  'gateway/fuzz',
  'install-ca/own-root',
  'gateway/real-clients',
  'gateway/streaming',
  'attack/start',
  'attack/memory',
  'relay/limits',
  'examples/image',
  'install-ca/update-command',
  'children/java-options',
  'e2e/tunnels',
  'e2e/doctor',
  'thread/thread',
].map((name) => `${name}${LONG}`)
/**
 * Folders whose short tests change nothing of their process, and how many processes those share: one for each file would load
 * the gateway forty times, which takes longer than most of its tests.
 */
const SHARED = { gateway: 4, protocol: 1, frame: 1, documents: 1, children: 1 }
/** Files at a time: more than the two cores of a small machine, for most tests wait some of the time, and long ones most of it. */
const WIDTH = { short: 4, long: 6 }
const FLAGS = ['--long', '--short']
const wantsLong = process.argv.includes('--long')
const words = process.argv.slice(2).filter((word) => !FLAGS.includes(word))
const wantsBoth = words.length > 0 && !FLAGS.some((flag) => process.argv.includes(flag))

const files = readdirSync(folder, { recursive: true })
  .map(String)
  .filter((path) => path.endsWith('.test.ts') && !path.startsWith('dist'))
  .filter((path) => wantsBoth || path.endsWith(LONG) === wantsLong)
  .filter((path) => words.length === 0 || words.some((word) => path.includes(word)))
  .sort((one, other) => rankOf(one) - rankOf(other))

if (files.length === 0) {
  process.stderr.write(`no test matches ${words.join(' ')}\n`)
  process.exit(1)
}

const build = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-b'], {
  cwd: root,
  stdio: 'inherit',
})
if (build.status !== 0) process.exit(1)

// A process of its own, for what it is given is what it gives to those of the files.
const width = files.some((path) => path.endsWith(LONG)) ? WIDTH.long : WIDTH.short
const program = ['--enable-source-maps', join(folder, 'run-files.mjs'), `${width}`, ...programsFor(files)]
const runner = spawn(process.execPath, program, { stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => runner.kill(signal))
runner.once('exit', (code) => {
  if (code === 0 && !wantsLong && !wantsBoth) console.log('ℹ what takes longer: npm run test:long')
  process.exitCode = code ?? 1
})

/** What is to be run: the compiled files, or for those that share a process a file that imports them. Longest first. */
function programsFor(paths) {
  const compiled = (path) => join(folder, 'dist', path.replace(/\.ts$/, '.js'))
  const alone = paths.filter((path) => path.endsWith(LONG) || SHARED[dirname(path)] === undefined || hasHooks(path))
  const shared = mkdtempSync(join(folder, 'dist/shared-'))
  process.once('exit', () => rmSync(shared, { recursive: true }))
  const programs = Object.entries(SHARED).flatMap(([name, processes]) => {
    const sharing = paths.filter((path) => dirname(path) === name && !alone.includes(path))
    return groups(sharing, processes).map((group, index) => {
      const program = join(shared, `${name}-${index + 1}.js`)
      writeFileSync(program, group.map((path) => `import '../${path.replace(/\.ts$/, '.js')}'\n`).join(''))
      return program
    })
  })
  return [...programs, ...alone.map(compiled)]
}

/** Hooks of a file are those of its process, and run as soon as the tests that are known by then have. */
function hasHooks(path) {
  return /^(?:after|before)(?:Each)?\(/m.test(readFileSync(join(folder, path), 'utf8'))
}

/** About equally long ones, by the length of the files. */
function groups(paths, count) {
  const sizeOf = (path) => statSync(join(folder, path)).size
  const bySize = paths.toSorted((one, other) => sizeOf(other) - sizeOf(one))
  const all = Array.from({ length: count }, (_, at) => bySize.filter((_, index) => index % count === at))
  return all.filter((group) => group.length > 0)
}

function rankOf(path) {
  const place = FIRST.indexOf(path)
  return place < 0 ? FIRST.length : place
}
