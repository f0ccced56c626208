// The audit: the published schema against records of real traffic, and the writer in rotation, on a full disk and at its end.

import assert from 'node:assert/strict'
import { mkdir, readFile, rename, symlink, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { AUDIT_END_CODES, LineWriter, REFUSALS } from 'ccr-upstream-gateway'
import { originCa } from '../support/origin.js'
import { createTempDirectory } from '../support/temp-dir.js'
import { CREDENTIALS, requestOver, responseOf, startGateway, textOf } from './fixture.js'
import { connectHead, sendHead, startTls } from './wire-client.js'

const schema = JSON.parse(await readFile(new URL('../../../gateway/audit.schema.json', import.meta.url), 'utf8'))
const ajv = new Ajv2020({
  discriminator: true,
  formats: {
    'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
    uuid: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
  },
})
const isValid = ajv.compile(schema)

function assertValid(record: unknown): void {
  assert.ok(isValid(record), `${JSON.stringify(record)}\n${JSON.stringify(isValid.errors)}`)
}

test('a record of every mode that real traffic makes is valid by the published schema', async (context) => {
  const gateway = await startGateway(context)
  const { socket } = await gateway.connect()
  const request = requestOver(socket, { path: '/v1?key=query-secret' })
  request.end()
  await textOf(await responseOf(request))
  const intercepted = await gateway.nextRecord()
  socket.destroy()
  const { stream } = await gateway.openTunnel('plain.example.com')
  const plain = await startTls(stream, originCa.rootPem, 'plain.example.com')
  plain.destroy()
  const spliced = await gateway.nextRecord()
  await gateway.openTunnel('127.0.0.1')
  const refused = await gateway.nextRecord()
  assert.deepEqual([intercepted.mode, spliced.mode, refused.mode], ['intercept', 'tunnel', 'refused'])
  for (const record of gateway.audit) assertValid(record)
  assert.ok(!JSON.stringify(gateway.audit).includes('query-secret'))
})

test('the schema has every code and every mode, and takes nothing else', () => {
  assert.deepEqual(schema.$defs.code.enum, [...Object.keys(REFUSALS), ...AUDIT_END_CODES].sort())
  const record = {
    time: '2026-01-02T03:04:05.678Z',
    session: 's',
    tunnel: '6a6e7b0c-0000-4000-8000-000000000000',
    ms: 1,
  }
  assertValid({ ...record, mode: 'refused', code: 'policy-denied', status: 403 })
  assert.equal(isValid({ ...record, mode: 'refused', code: 'policy-denied', status: 403, token: 'x' }), false)
  assert.equal(isValid({ ...record, mode: 'refused', code: 'no-such-code', status: 403 }), false)
  assert.equal(isValid({ ...record, mode: 'other' }), false)
})

test("X-Request-Id of the CONNECT head joins the relay's tunnel with the record", async (context) => {
  const gateway = await startGateway(context, { config: { default: 'deny' } })
  const withId = (id: string) =>
    connectHead('nobody.example.com:443', CREDENTIALS).replace('\r\n\r\n', `\r\nX-Request-Id: ${id}\r\n\r\n`)
  await sendHead(gateway.tunnelUrl, CREDENTIALS.token, withId('relay-1:42'))
  const record = await gateway.nextRecord()
  assert.equal(record.requestId, 'relay-1:42')
  assertValid(record)
  for (const id of ['', 'two words', '"quoted"', 'x'.repeat(129)]) {
    await sendHead(gateway.tunnelUrl, CREDENTIALS.token, withId(id))
    assert.equal('requestId' in (await gateway.nextRecord()), false, id)
  }
})

const lines = async (file: string) => (await readFile(file, 'utf8')).split('\n').slice(0, -1)

test('lines are in the file in order, and all of them, when the writer is closed', async (context) => {
  const file = join(createTempDirectory(context), 'audit.jsonl')
  const writer = new LineWriter({ file }, assert.fail)
  const expected = Array.from({ length: 20_000 }, (_, index) => `line ${index} ${'x'.repeat(index % 200)}`)
  for (const line of expected) writer.write(`${line}\n`)
  await writer.close()
  assert.deepEqual(await lines(file), expected)
})

test('a rotation loses no line and writes none twice', async (context) => {
  const folder = createTempDirectory(context)
  const file = join(folder, 'audit.jsonl')
  const writer = new LineWriter({ file }, assert.fail)
  const expected = Array.from({ length: 2_000 }, (_, index) => `line ${index}`)
  for (const line of expected.slice(0, 1_000)) writer.write(`${line}\n`)
  await rename(file, `${file}.1`)
  const reopened = writer.reopen()
  for (const line of expected.slice(1_000, 1_999)) writer.write(`${line}\n`)
  await reopened
  writer.write(`${expected.at(-1)}\n`)
  await writer.close()
  assert.deepEqual([...(await lines(`${file}.1`)), ...(await lines(file))], expected)
  assert.equal((await lines(file)).at(-1), 'line 1999')
})

test('a rotation to a folder that cannot be written keeps the old file', async (context) => {
  const folder = createTempDirectory(context)
  const file = join(folder, 'audit.jsonl')
  const writer = new LineWriter({ file }, assert.fail)
  writer.write('before\n')
  await writer.reopen()
  await rename(file, join(folder, 'moved'))
  await mkdir(file)
  await assert.rejects(writer.reopen(), { code: 'EISDIR' })
  writer.write('after\n')
  await writer.close()
  assert.deepEqual(await lines(join(folder, 'moved')), ['before', 'after'])
})

test('a full disk is said once and counted, and so is its end', {
  skip: process.platform !== 'linux' && 'there is no /dev/full',
}, async (context) => {
  const file = join(createTempDirectory(context), 'audit.jsonl')
  await symlink('/dev/full', file)
  const warnings: string[] = []
  const writer = new LineWriter({ file }, (message) => warnings.push(message))
  for (const line of ['one\n', 'two\n', 'three\n']) writer.write(line)
  await unlink(file)
  await writer.reopen()
  assert.equal(writer.lost, 3)
  writer.write('four\n')
  await writer.close()
  assert.deepEqual(warnings, [
    'audit lines are being lost (ENOSPC)',
    'the audit is being written again; 3 lines were lost since the start',
  ])
  assert.deepEqual(await lines(file), ['four'])
})

test('what waits is bounded: lines that find no room are counted', async (context) => {
  const file = join(createTempDirectory(context), 'audit.jsonl')
  const warnings: string[] = []
  const writer = new LineWriter({ file }, (message) => warnings.push(message))
  const line = `${'x'.repeat(1_048_575)}\n`
  for (let count = 0; count < 12; count++) writer.write(line)
  await writer.close()
  assert.equal(writer.lost, 4)
  assert.equal((await lines(file)).length, 8)
  assert.deepEqual(warnings[0], 'audit lines are being lost (too much is waiting)')
})

test('a gateway whose disk is full goes on serving, and counts', {
  skip: process.platform !== 'linux' && 'there is no /dev/full',
}, async (context) => {
  const gateway = await startGateway(context, { config: { default: 'deny', audit: '/dev/full' } })
  for (let count = 0; count < 3; count++) {
    const { status } = await gateway.openTunnel('nobody.example.com')
    assert.equal(status, 403)
  }
  await gateway.running.close()
  assert.deepEqual(gateway.warnings, ['audit lines are being lost (ENOSPC)'])
})
