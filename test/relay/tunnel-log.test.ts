// The tunnel log: what stands in it, that it is what the published schema says, and that no disk stops the relay.

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
import { fileURLToPath } from 'node:url'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { ERROR_CODES, type LogEntry, type TunnelLogRecord } from '#src/index.js'
import { createLogger } from '#src/log.js'
import { LineFile } from '#src/relay/line-file.js'
import { TunnelLog } from '#src/relay/tunnel-log.js'
import { isInstalled, run } from '../support/cli-process.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { createTempDirectory, type Scope } from '../support/temp-dir.js'
import { type RelayFixture, startFixture } from './fixture.js'

const schema = JSON.parse(readFileSync(new URL('../../../schema/tunnel-log.schema.json', import.meta.url), 'utf8'))
const ajv = new Ajv2020({ formats: { 'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/ } })
const isValid = ajv.compile(schema)
const HAS_DEV_FULL = process.platform === 'linux'

function read(file: string): TunnelLogRecord[] {
  const lines = readFileSync(file, 'utf8').split('\n')
  assert.equal(lines.pop(), '')
  return lines.map((line) => JSON.parse(line) as TunnelLogRecord)
}

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

describeOnEachRuntime('the tunnel log', (runtime) => {
  async function start(scope: Scope, file: string): Promise<RelayFixture> {
    const fixture = await startFixture(runtime, { tunnelLog: file, bypass: { noProxy: '127.0.0.1' } })
    scope.after(() => fixture.end())
    return fixture
  }

  /** One of each kind, one behind the other: completed, refused by the gateway, refused by the relay, abandoned, broken. */
  async function someTunnels(fixture: RelayFixture): Promise<void> {
    const completed = await fixture.open('done.example:443')
    completed.tunnel.send('down')
    await completed.client.take(4)
    completed.tunnel.close(1000)
    await completed.client.ended
    completed.client.endWriting()
    await fixture.relay.tunnels(0)
    const denied = await fixture.dial('denied.example:8443')
    denied.tunnel.send('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n')
    denied.tunnel.close(1000)
    await denied.client.takeOnlyAnswer()
    denied.client.endWriting()
    await fixture.relay.tunnels(0)
    const plain = await fixture.connect()
    plain.write('GET / HTTP/1.1\r\nHost: h.example\r\n\r\n')
    await plain.takeOnlyAnswer()
    plain.endWriting()
    await fixture.relay.tunnels(0)
    const gone = await fixture.dial('gone.example:443')
    gone.client.reset()
    await fixture.relay.tunnels(0)
    const broken = await fixture.open('broken.example:443')
    broken.tunnel.reset()
    await broken.client.ended
    await fixture.relay.tunnels(0)
  }

  test('has one valid line for each tunnel, in the order of their ends', async (context) => {
    const file = join(createTempDirectory(context), 'tunnels.jsonl')
    const fixture = await start(context, file)
    await someTunnels(fixture)
    assert.deepEqual((await fixture.relay.stats()).tunnelLog?.lost, 0)
    await fixture.relay.close()
    const records = read(file)
    for (const record of records) assertValid(record)
    assert.deepEqual(
      records.map(({ host, port, outcome, reason, code }) => [host, port, outcome, reason, code]),
      [
        ['done.example', 443, 'completed', 'target-ended', undefined],
        ['denied.example', 8443, 'refused', 'gateway-refused', undefined],
        [undefined, undefined, 'refused', 'refused', 'method-not-allowed'],
        ['gone.example', 443, 'abandoned', 'client-gone', undefined],
        ['broken.example', 443, 'broken', 'connection-lost', 'tunnel-lost'],
      ],
    )
    const [completed, , plain] = records as [TunnelLogRecord, TunnelLogRecord, TunnelLogRecord]
    assert.deepEqual(Object.keys(completed.ms), ['dial', 'connect', 'firstByte', 'total'])
    assert.deepEqual(Object.keys(plain.ms), ['total'])
    assert.equal(new Set(records.map(({ id }) => id)).size, records.length)
    assert.equal(statSync(file).mode & 0o777, 0o600)
    assert.ok(!readFileSync(file, 'utf8').includes('tok_'))
  })

  test('its ids are told to the gateway, and only when it is kept', async (context) => {
    const file = join(createTempDirectory(context), 'tunnels.jsonl')
    const fixture = await start(context, file)
    const logged = await fixture.open()
    const [, id] = /\r\nX-Request-Id: (.+)\r\n/.exec(logged.tunnel.head) ?? []
    logged.client.reset()
    await fixture.relay.close()
    assert.deepEqual(
      read(file).map((record) => record.id),
      [id],
    )
    const without = await startFixture(runtime)
    context.after(() => without.end())
    const plain = await without.open()
    assert.equal(plain.tunnel.head, logged.tunnel.head.replace(`X-Request-Id: ${id}\r\n`, ''))
    assert.ok(!plain.tunnel.head.includes('X-Request-Id'))
  })

  test('lines are added to what is there, and ids of two relays differ', async (context) => {
    const file = join(createTempDirectory(context), 'tunnels.jsonl')
    for (let round = 0; round < 2; round++) {
      const fixture = await start(context, file)
      const client = await fixture.connect()
      client.write('\r\n\r\n')
      await client.rest()
      client.endWriting()
      await fixture.relay.close()
    }
    const ids = read(file).map(({ id }) => id)
    assert.equal(new Set(ids).size, 2)
    assert.deepEqual(
      ids.map((id) => id.slice(16)),
      ['-1', '-1'],
    )
  })

  test('a disk that is full costs lines, no tunnel', {
    skip: !HAS_DEV_FULL && 'there is no /dev/full',
  }, async (context) => {
    const fixture = await start(context, '/dev/full')
    await someTunnels(fixture)
    const { client, tunnel } = await fixture.open()
    client.write('up')
    assert.equal((await tunnel.take(2)).toString(), 'up')
    // A write that fails says so a moment later.
    while ((await fixture.relay.stats()).tunnelLog?.lost !== 5) await delay(20)
    const { tunnelLog, tunnels } = await fixture.relay.stats()
    assert.deepEqual([tunnelLog, tunnels.accepted], [{ written: 0, lost: 5 }, 6])
  })
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

test('a line that the disk took a part of does not spoil the next', async (context) => {
  if (!(await isInstalled(context, 'prlimit'))) return context.skip('prlimit is not installed')
  const path = join(createTempDirectory(context), 'log')
  // A file has 1,024 bytes at most, until the program lifts the limit.
  const writer = fileURLToPath(new URL('line-file-writer.js', import.meta.url))
  const env = { PATH: process.env.PATH }
  const { stdout } = await run(context, 'prlimit', ['--fsize=1024:', process.execPath, writer, path], { env })
  assert.deepEqual(JSON.parse(stdout), { losses: ['EFBIG'], counts: { written: 103, lost: 98 } })
  const lines = readFileSync(path, 'utf8').split('\n')
  assert.deepEqual(lines.splice(102, 1), ['line'])
  assert.deepEqual(lines, [...Array.from({ length: 102 }, (_, count) => `line ${1000 + count}`), 'after', ''])
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
