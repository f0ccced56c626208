// What npm would publish of the two packages: what they need, and nothing of the build but that.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, normalize } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

interface Manifest {
  readonly bin: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>
}

/** Everything outside dist/ that may be there. */
const BESIDES = {
  '.': /^(?:(?:CHANGELOG|LICENSE|README|SECURITY)(?:\.md)?|package\.json|prebuilds\/.+\.node|prebuilds\/SHA256SUMS|schema\/.+\.json|src\/.+\.rb)$/,
  gateway: /^(?:LICENSE|README\.md|package\.json|bin\/.+\.js|audit\.schema\.json|config\.example\.yaml)$/,
}

for (const [folder, besides] of Object.entries(BESIDES)) {
  test(`the package of ${folder} has what it needs, and of the build neither source maps nor tests`, () => {
    const { stdout } = spawnSync('npm', ['pack', '--dry-run', '--ignore-scripts', '--json'], {
      cwd: join(ROOT, folder),
      encoding: 'utf8',
    })
    const [packed] = JSON.parse(stdout) as [{ readonly files: readonly { readonly path: string }[] }]
    const files = packed.files.map(({ path }) => path)
    const isMeant = (path: string): boolean => /^dist\/.+\.(?:js|cjs|d\.ts|d\.cts)$/.test(path) || besides.test(path)
    assert.deepEqual(
      files.filter((path) => !isMeant(path)),
      [],
    )
    assert.deepEqual(
      entriesOf(folder).filter((path) => !files.includes(path)),
      [],
    )
  })
}

/** The files that the package's manifest names. */
function entriesOf(folder: string): string[] {
  const { bin, exports } = JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8')) as Manifest
  const exported = Object.values(exports).flatMap((target) =>
    typeof target === 'string' ? [target] : Object.values(target),
  )
  return [...Object.values(bin), ...exported].map((path) => normalize(path))
}
