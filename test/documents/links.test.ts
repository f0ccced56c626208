// Every relative link of a document leads to a file that is there, and to a heading of it.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { allDocuments, anchorsOf, documentText, linkTargets } from './markdown.js'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

for (const path of allDocuments()) {
  test(`the links of ${path} lead somewhere`, () => {
    assert.deepEqual(
      linkTargets(documentText(path)).filter((target) => !isExternal(target) && !leadsSomewhere(path, target)),
      [],
    )
  })
}

test('the README leads to every document', () => {
  const reached = new Set<string>()
  const visit = (path: string): void => {
    if (reached.has(path)) return
    reached.add(path)
    const targets = linkTargets(documentText(path)).filter((target) => !isExternal(target))
    for (const [file] of targets.map((target) => target.split('#'))) {
      if (file?.endsWith('.md')) visit(join(dirname(path), file))
    }
  }
  visit('README.md')
  assert.deepEqual(
    allDocuments().filter((path) => !reached.has(path)),
    [],
  )
})

function isExternal(target: string): boolean {
  return /^[a-z]+:/.test(target)
}

function leadsSomewhere(from: string, target: string): boolean {
  const [file = '', anchor] = target.split('#')
  const path = file === '' ? from : join(dirname(from), file)
  if (!existsSync(join(ROOT, path))) return false
  return anchor === undefined || anchorsOf(documentText(path)).includes(anchor)
}
