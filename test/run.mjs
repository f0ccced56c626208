// Runs the tests with node:test: all but the long ones, with `--long` those (*.long.test.ts), and with words only those whose
// path holds one of them, of either kind without `--long`. It goes by the sources, so that what an earlier build left in test/dist is not run.

import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('.', import.meta.url))
const LONG = '.long.test.ts'
const wantsLong = process.argv.includes('--long')
const words = process.argv.slice(2).filter((word) => word !== '--long')
const wantsBoth = !wantsLong && words.length > 0

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

const options = ['--test', '--test-reporter=spec', '--test-concurrency=2']
const runner = spawn(process.execPath, [...options, ...files], { stdio: 'inherit' })
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => runner.kill(signal))
runner.once('exit', (code, signal) => {
  if (!wantsLong && !wantsBoth) console.log('ℹ what takes longer: npm run test:long')
  process.exitCode = signal === null ? code : 1
})
