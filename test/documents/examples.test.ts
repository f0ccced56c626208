// The programs in documents are programs: they compile against the package, with doc/examples/ beside them. The README's
// is run as well, by commands.long.test.ts.

import assert from 'node:assert/strict'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { run } from '../support/cli-process.js'
import { commandDocuments, documentText, fencedBlocks } from './markdown.js'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

const EXTENSIONS: Readonly<Record<string, string>> = { js: 'mjs', ts: 'ts' }

test('the programs in the documents compile', { timeout: 1_800_000 }, async (t) => {
  const cache = join(ROOT, 'node_modules/.cache')
  mkdirSync(cache, { recursive: true })
  // Here, so that packages are found as they are in a program beside them.
  const folder = mkdtempSync(join(cache, 'documents-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  cpSync(join(ROOT, 'doc/examples'), join(folder, 'doc/examples'), { recursive: true })
  let count = 0
  for (const path of commandDocuments()) {
    for (const { language, line, text } of fencedBlocks(documentText(path))) {
      const extension = EXTENSIONS[language]
      if (extension === undefined) continue
      count++
      writeFileSync(join(folder, `${path.replaceAll(/[/.]/g, '-')}-${line}.${extension}`), text)
    }
  }
  assert.ok(count > 0)
  const compilerOptions = {
    noEmit: true,
    composite: false,
    allowJs: true,
    checkJs: true,
    noUnusedLocals: false,
    // JavaScript has no types to say.
    noImplicitAny: false,
    strictFunctionTypes: false,
  }
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ extends: join(ROOT, 'tsconfig.json'), compilerOptions, include: ['*'], references: [] }),
  )
  const { exitCode, stdout } = await run(
    t,
    process.execPath,
    [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', folder],
    {
      env: { PATH: process.env.PATH },
    },
  )
  assert.equal(exitCode, 0, stdout)
})
