// Runs the tests with node:test: all but the long ones, or with `--long` those (*.long.test.ts). With words only those whose path
// holds one of them; then either kind, unless `--long` or `--short` says which. It goes by the sources, so that what an earlier
// build left in test/dist is not run.

import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('.', import.meta.url))
const LONG = '.long.test.ts'
const FLAGS = ['--long', '--short']
const wantsLong = process.argv.includes('--long')
const words = process.argv.slice(2).filter((word) => !FLAGS.includes(word))
const wantsBoth = words.length > 0 && !FLAGS.some((flag) => process.argv.includes(flag))

const files = readdirSync(folder, { recursive: true })
  .map(String)
  .filter((path) => path.endsWith('.test.ts') && !path.startsWith('dist'))
  .filter((path) => wantsBoth || path.endsWith(LONG) === wantsLong)
  .filter((path) => words.length === 0 || words.some((word) => path.includes(word)))
  .map((path) => join(folder, 'dist', path.replace(/\.ts$/, '.js')))
  .sort()

if (files.length === 0) {
  process.stderr.write(`no test matches ${words.join(' ')}\n`)
  process.exit(1)
}

// In full size much is waiting.
const concurrency = process.env.CCR_TEST_LARGE === '1' ? 3 : 2
const options = ['--test', '--test-reporter=spec', `--test-concurrency=${concurrency}`]
const runner = spawn(process.execPath, [...options, ...files], { stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => runner.kill(signal))
runner.once('exit', (code, signal) => {
  if (!wantsLong && !wantsBoth) console.log('ℹ what takes longer: npm run test:long')
  process.exitCode = signal === null ? code : 1
})
