// Builds what is stale, then runs the tests: those that need no foreign program, or with `--long` the others (*.long.test.ts). With
// words only those whose path holds one of them; then either kind, unless `--long` or `--short` says which. It goes by the sources,
// so that what an earlier build left in test/dist is not run.

import { spawn, spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('.', import.meta.url))
const root = join(folder, '..')
const LONG = '.long.test.ts'
/** What takes longest, longest first: at the end each would keep one core waiting. */
const FIRST = [
  ...['matrix/matrix', 'install-ca/own-root', 'gateway/streaming', 'attack/start', 'attack/memory', 'relay/limits'],
  ...[
    'examples/image',
    'install-ca/update-command',
    'children/java-options',
    'e2e/tunnels',
    'e2e/doctor',
    'thread/thread',
  ],
].map((name) => `${name}${LONG}`)
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
  .map((path) => join(folder, 'dist', path.replace(/\.ts$/, '.js')))

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
const runner = spawn(process.execPath, ['--enable-source-maps', join(folder, 'run-files.mjs'), ...files], {
  stdio: 'inherit',
})
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => runner.kill(signal))
runner.once('exit', (code) => {
  if (code === 0 && !wantsLong && !wantsBoth) console.log('ℹ what takes longer: npm run test:long')
  process.exitCode = code ?? 1
})

function rankOf(path) {
  const place = FIRST.indexOf(path)
  return place < 0 ? FIRST.length : place
}
