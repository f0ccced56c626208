// What is said of each kind of token file, by the addon and without it: the same, and true.

import assert from 'node:assert/strict'
import { chmodSync, linkSync, mkdirSync, renameSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { loadAddon } from '#src/addon.js'
import type { ErrorCode } from '#src/errors.js'
import { createLogger, type LogEntry } from '#src/log.js'
import { readSessionToken } from '#src/system/token.js'
import { createTempDirectory, type Scope } from '../support/temp-dir.js'

const TOKEN = 'sentinel-token'

interface Refused {
  readonly title: string
  readonly make: (file: string) => void
  readonly code: ErrorCode
  readonly message: RegExp
}

const REFUSED: readonly Refused[] = [
  { title: 'nothing', make: () => {}, code: 'token-missing', message: /does not exist$/ },
  {
    title: 'the link that a Kubernetes Secret mounts',
    make: (file) => {
      const folder = join(dirname(file), '..2026_12_01')
      mkdirSync(folder)
      writeFileSync(join(folder, 'session_token'), TOKEN)
      symlinkSync('..2026_12_01', join(dirname(file), '..data'))
      symlinkSync('..data/session_token', file)
    },
    code: 'token-linked',
    message: /is a symbolic link$/,
  },
  { title: 'a folder', make: (file) => mkdirSync(file), code: 'token-unsafe', message: /is not a regular file$/ },
  {
    title: 'a file with a second link',
    make: (file) => {
      writeFileSync(file, TOKEN, { mode: 0o600 })
      linkSync(file, `${file}.second`)
    },
    code: 'token-unsafe',
    message: /has 2 links$/,
  },
  { title: 'an empty file', make: (file) => writeFileSync(file, ''), code: 'token-empty', message: /is empty$/ },
  { title: 'a blank file', make: (file) => writeFileSync(file, ' \n'), code: 'token-empty', message: /is empty$/ },
  {
    title: 'two lines',
    make: (file) => writeFileSync(file, `${TOKEN}\n${TOKEN}`),
    code: 'token-malformed',
    message: /holds a byte that no token has$/,
  },
]

const READABLE = [
  [0o600, undefined],
  [0o400, undefined],
  [0o440, 'its group'],
  [0o640, 'its group'],
  [0o644, 'every user'],
  [0o604, 'every user'],
] as const

const { addon } = loadAddon()
const WAYS = [
  ['with the addon', addon],
  ['without the addon', undefined],
] as const

function tokenPath(t: Scope): string {
  return join(createTempDirectory(t), 'session_token')
}

for (const [title, way] of WAYS) {
  describe(`a token file, ${title}`, {
    skip: title === 'with the addon' && !addon ? 'there is no addon' : false,
  }, () => {
    for (const { title, make, code, message } of REFUSED) {
      test(`${title} is ${code}`, (t) => {
        const file = tokenPath(t)
        make(file)
        assert.throws(() => readSessionToken(file, way, createLogger('silent')), { code, message })
      })
    }

    for (const [mode, readers] of READABLE) {
      const said = readers === undefined ? 'nothing' : `that ${readers} can read it`
      test(`of mode ${mode.toString(8)}: ${said} is said`, (t) => {
        const file = tokenPath(t)
        writeFileSync(file, TOKEN)
        chmodSync(file, mode)
        const entries: LogEntry[] = []
        const logger = createLogger('warn', (entry) => entries.push(entry))
        readSessionToken(file, way, logger).wipe()
        const expected = readers === undefined ? [] : [['token-exposed', `${file} can be read by ${readers}`]]
        assert.deepEqual(
          entries.map(({ code, message }) => [code, message]),
          expected,
        )
      })
    }

    test('replaced since it was read: it is said, and the other file stays', (t) => {
      const file = tokenPath(t)
      writeFileSync(file, TOKEN, { mode: 0o600 })
      const token = readSessionToken(file, way, createLogger('silent'))
      linkSync(file, `${file}.kept`)
      writeFileSync(`${file}.new`, 'other', { mode: 0o600 })
      renameSync(`${file}.new`, file)
      const failure = token.removeFile()
      token.wipe()
      assert.equal(failure?.code, 'token-not-unlinked')
      assert.match(failure?.message ?? '', /another file has taken its place$/)
    })

    test('removed by another since it was read: nothing is said', (t) => {
      const file = tokenPath(t)
      writeFileSync(file, TOKEN, { mode: 0o600 })
      const token = readSessionToken(file, way, createLogger('silent'))
      unlinkSync(file)
      assert.equal(token.removeFile(), undefined)
      token.wipe()
    })
  })
}
