// Draws doc/api/ from the docstrings. `--check` only compares, and fails when it is stale. The tools have a folder of their
// own, doc/reference/, so that `npm ci` at the root does not take them along.

import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const REFERENCE = fileURLToPath(new URL('reference/', import.meta.url))
const API = fileURLToPath(new URL('api/', import.meta.url))

const TYPEDOC = ['node_modules/.bin/typedoc', '--logLevel', 'Warn', '--treatWarningsAsErrors']

const drawn = mkdtempSync(join(tmpdir(), 'ccr-api-'))
const isInstalled = existsSync(join(REFERENCE, 'node_modules/typedoc')) || succeeds('npm', 'ci')
if (!isInstalled || !succeeds(...TYPEDOC, '--out', drawn)) process.exitCode = 1
else if (!process.argv.includes('--check')) replaceApi()
else if (readTree(API) !== readTree(drawn)) {
  process.stderr.write('doc/api is stale: run npm run doc:api\n')
  process.exitCode = 1
}
rmSync(drawn, { recursive: true, force: true })

function succeeds(file, ...args) {
  return spawnSync(file, args, { cwd: REFERENCE, stdio: 'inherit' }).status === 0
}

function replaceApi() {
  rmSync(API, { recursive: true, force: true })
  cpSync(drawn, API, { recursive: true })
}

/** Names and contents, as one text. */
function readTree(folder) {
  if (!existsSync(folder)) return ''
  const names = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith('.md'))
  return names
    .sort()
    .map((name) => `${name}\n${readFileSync(join(folder, name), 'utf8')}`)
    .join('\n')
}
