// The tunnel log of a relay: a line for each tunnel, as the published schema has it, and what a full disk costs.

import assert from 'node:assert/strict'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Ajv2020 } from 'ajv/dist/2020.js'
import type { TunnelLogRecord } from '#src/index.js'
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
