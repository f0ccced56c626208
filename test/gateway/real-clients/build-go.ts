// Go programs of the tests, built from source with the libraries that Debian packages: no module is downloaded.

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { run } from '../../support/cli-process.js'
import { createTempDirectory, type Scope } from '../../support/temp-dir.js'

/** Where Debian's golang-*-dev packages are. */
const GOPATH = '/usr/share/gocode'

/** @param source its file; resolves to the program's. What was built before comes from Go's own cache. */
export async function buildGo(scope: Scope, source: string): Promise<string> {
  const folder = createTempDirectory(scope, 'go')
  const program = join(folder, 'program')
  const { PATH, HOME = folder } = process.env
  const { exitCode, stderr } = await run(scope, 'go', ['build', '-o', program, source], {
    env: { PATH, HOME, GOPATH, GO111MODULE: 'off' },
  })
  assert.equal(exitCode, 0, stderr)
  return program
}
