// The published schema of the tunnel log, and the file that its lines go to. A relay's own lines are in tunnel-log.long.test.ts.

import assert from 'node:assert/strict'
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { ERROR_CODES, type LogEntry } from '#src/index.js'
import { createLogger } from '#src/log.js'
import { LineFile } from '#src/relay/line-file.js'
import { TunnelLog } from '#src/relay/tunnel-log.js'
import { createTempDirectory } from '../support/temp-dir.js'

const schema = JSON.parse(readFileSync(new URL('../../../schema/tunnel-log.schema.json', import.meta.url), 'utf8'))
const ajv = new Ajv2020({ formats: { 'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/ } })
const isValid = ajv.compile(schema)
const HAS_DEV_FULL = process.platform === 'linux'

function assertValid(record: unknown): void {
  assert.ok(isValid(record), `${JSON.stringify(record)}\n${JSON.stringify(isValid.errors)}`)
}

test('the schema has every code that a tunnel can end with, and takes nothing else', () => {
  const codes = Object.entries(ERROR_CODES).filter(([, facts]) => 'status' in facts)
  assert.deepEqual(
    schema.properties.code.enum,
    [...codes.map(([code]) => code), 'tunnel-lost', 'tunnel-expired'].toSorted(),
  )
  const record = {
    time: '2026-01-02T03:04:05.678Z',
    id: '0123456789abcdef-1',
    route: 'gateway',
    bytesUp: 0,
    bytesDown: 0,
    ms: { total: 1.5 },
    outcome: 'refused',
    reason: 'refused',
    code: 'bad-request',
  }
  assertValid(record)
  assertValid({ ...record, host: 'h.example', port: 443 })
  for (const wrong of [{ host: 'h.example' }, { code: 'token-missing' }, { token: 'x' }, { id: '1' }, { ms: {} }])
    assert.equal(isValid({ ...record, ...wrong }), false, JSON.stringify(wrong))
})

// -- The file ----------------------------------------------------------------------------------------------------------------

function openLog(path: string): { log: TunnelLog | undefined; warnings: LogEntry[] } {
  const warnings: LogEntry[] = []
  return {
    log: TunnelLog.open(
      path,
      createLogger('warn', (entry) => warnings.push(entry)),
    ),
    warnings,
  }
}

test('a log that cannot be opened is one warning', (context) => {
  const directory = createTempDirectory(context)
  const link = join(directory, 'link')
  writeFileSync(join(directory, 'victim'), '')
  symlinkSync('victim', link)
  for (const [path, errno] of [
    [join(directory, 'missing', 'log'), 'ENOENT'],
    [directory, 'EISDIR'],
    [link, 'ELOOP'],
  ] as const) {
    const { log, warnings } = openLog(path)
    assert.equal(log, undefined)
    assert.deepEqual(
      warnings.map(({ code, message }) => [code, message]),
      [['tunnel-log-failed', `${path} cannot be opened (${errno})`]],
    )
  }
})

test('lost lines are told once, and counted all', { skip: !HAS_DEV_FULL && 'there is no /dev/full' }, async () => {
  const losses: string[] = []
  const file = new LineFile('/dev/full', (reason) => losses.push(reason))
  for (let count = 0; count < 100; count++) {
    file.append(`line ${count}`)
    if (count % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await file.close()
  assert.deepEqual(losses, ['ENOSPC'])
  assert.deepEqual(file.counts, { written: 0, lost: 100 })
})

test('every line is in the file, in order, when it is closed', async (context) => {
  const path = join(createTempDirectory(context), 'log')
  const file = new LineFile(path, assert.fail)
  const lines = Array.from({ length: 20_000 }, (_, count) => `line ${count}`)
  for (const line of lines) file.append(line)
  await file.close()
  assert.equal(readFileSync(path, 'utf8'), `${lines.join('\n')}\n`)
  assert.deepEqual(file.counts, { written: lines.length, lost: 0 })
})

test('what waits is bounded', async (context) => {
  const path = join(createTempDirectory(context), 'log')
  const losses: string[] = []
  const file = new LineFile(path, (reason) => losses.push(reason))
  const line = 'x'.repeat(1_048_576)
  for (let count = 0; count < 5; count++) file.append(line)
  await file.close()
  file.append('late')
  assert.deepEqual(losses, ['too much is waiting'])
  assert.deepEqual(file.counts, { written: 2, lost: 4 })
  assert.equal(statSync(path).size, 2 * (line.length + 1))
})

/** Appends numbered lines until `isOver`; how many. */
async function appendUntil(file: LineFile, isOver: () => boolean): Promise<number> {
  let count = 0
  for (; !isOver(); count++) {
    file.append(`line ${count}`)
    await delay(20)
  }
  return count
}

test('a file that was renamed is followed by a new one, and no line is lost', async (context) => {
  const path = join(createTempDirectory(context), 'log')
  const file = new LineFile(path, assert.fail)
  renameSync(path, `${path}.1`)
  const count = await appendUntil(file, () => existsSync(path))
  file.append('last')
  await file.close()
  const [moved, made] = [`${path}.1`, path].map((name) => readFileSync(name, 'utf8')) as [string, string]
  assert.equal(moved + made, `${Array.from({ length: count }, (_, at) => `line ${at}\n`).join('')}last\n`)
  assert.ok(moved.startsWith('line 0\n') && made.endsWith('last\n'), made)
  assert.equal(statSync(path).mode & 0o777, 0o600)
  assert.deepEqual(file.counts, { written: count + 1, lost: 0 })
})

test('a file that was copied and truncated is written to from its beginning', async (context) => {
  const path = join(createTempDirectory(context), 'log')
  const file = new LineFile(path, assert.fail)
  file.append('before')
  while (file.counts.written === 0) await delay(5)
  truncateSync(path)
  file.append('after')
  await file.close()
  assert.equal(readFileSync(path, 'utf8'), 'after\n')
})

test('lines go to the renamed file while there can be no new one', async (context) => {
  const folder = createTempDirectory(context)
  const path = join(folder, 'log')
  const file = new LineFile(path, assert.fail)
  renameSync(path, join(folder, 'log.1'))
  mkdirSync(path)
  const begin = performance.now()
  await appendUntil(file, () => performance.now() - begin > 1_200)
  rmSync(path, { recursive: true })
  const count = await appendUntil(file, () => existsSync(path))
  await file.close()
  assert.ok(count > 0)
  assert.equal(file.counts.lost, 0)
})

test('a file that was removed with its folder costs lines', async (context) => {
  const folder = join(createTempDirectory(context), 'folder')
  mkdirSync(folder)
  const losses: string[] = []
  const file = new LineFile(join(folder, 'log'), (reason) => losses.push(reason))
  rmSync(folder, { recursive: true })
  await appendUntil(file, () => file.counts.lost > 0)
  await file.close()
  assert.deepEqual(losses, ['ENOENT'])
})
