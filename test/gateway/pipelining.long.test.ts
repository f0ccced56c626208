// One tunnel with thousands of HTTP/1.1 requests that are sent at once: they have their turn one after the other. The event loop is not
// blocked longer by them, and no more memory is taken, than with the same bytes in a plain server of node:http. About 20 s of CPU.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { InterceptAuditRecord } from 'ccr-upstream-gateway'
import { RunningProcess } from '../support/cli-process.js'
import type { Scope } from '../support/temp-dir.js'
import { CREDENTIALS, callThrough, HOST, startGateway } from './fixture.js'
import { serve } from './gateway-program.js'
import { Http1Client } from './http1-client.js'
import type { Measured } from './pipelining/meter.js'
import { connect, startTls } from './wire-client.js'

const pathOf = (name: string) => fileURLToPath(new URL(`pipelining/${name}.js`, import.meta.url))
const METERED = `--import=${pathOf('meter')}`
/** 37 bytes with the CRLFs: 2,000 are 74 KB, 20,000 are 740 KB. */
const REQUEST = 'GET /p HTTP/1.1\r\nHost: api.example.com\r\n\r\n'
/** Beyond the plain server's turn: a collection of garbage, and what a busy machine counts for the helpers of V8. */
const SLACK_MS = 100
const SLACK_BYTES = 64 * 1_048_576
/** Requests of a neighbour while that goes on. */
const ASKED_MEANWHILE = 20

async function measure(program: RunningProcess): Promise<Measured> {
  const before = program.stderr.length
  program.kill('SIGUSR2')
  const [, json = ''] = await program.until(new RegExp(`(?<=^[^]{${before},})measured (\\{.*\\})\n`), 'stderr')
  return JSON.parse(json)
}

/** Counts the answers that come over `socket`; resolves at `count` of them. */
function answersOf(socket: Duplex, count: number): Promise<number> {
  let answers = 0
  let rest = ''
  return new Promise((resolve) => {
    socket.on('data', (bytes: Buffer) => {
      const pieces = (rest + bytes.toString('latin1')).split('HTTP/1.1 200 ')
      answers += pieces.length - 1
      rest = (pieces.at(-1) as string).slice(-'HTTP/1.1 200 '.length)
      if (answers >= count) resolve(answers)
    })
    socket.once('close', () => resolve(answers))
  })
}

/** What the same bytes do to node:http. */
async function measurePlain(scope: Scope, count: number): Promise<Measured & { readonly grownBytes: number }> {
  const args = [METERED, pathOf('plain-server')]
  const program = new RunningProcess(scope, process.execPath, args, { env: { PATH: process.env.PATH } })
  const [, port] = await program.until(/^port (\d+)\n/)
  const open = async () => {
    const socket = connectTcp(Number(port), '127.0.0.1')
    await once(socket, 'connect')
    return socket
  }
  const first = await open()
  const warm = answersOf(first, 1)
  first.write(REQUEST)
  await warm
  const before = await measure(program)
  const socket = await open()
  const answered = answersOf(socket, count)
  socket.write(REQUEST.repeat(count))
  assert.equal(await answered, count)
  const after = await measure(program)
  for (const each of [first, socket]) each.destroy()
  return { ...after, grownBytes: after.maxResidentBytes - before.maxResidentBytes }
}

for (const [count, isFinished] of [
  [2_000, true],
  [20_000, false],
] as const) {
  test(`${count} requests at once block the gateway no longer than node:http, and a neighbour is answered`, async (context) => {
    const plain = await measurePlain(context, count)
    const gateway = await startGateway(context, {
      env: { NODE_OPTIONS: METERED },
      origin: { handler: (_request, response) => response.end('ok') },
    })
    const program = await serve(context, gateway, {})
    const open = async () => {
      const { stream } = await connect(program.tunnelUrl, CREDENTIALS, `${HOST}:443`)
      return { stream, socket: await startTls(stream, gateway.caCertificatePem, HOST) }
    }
    assert.equal((await callThrough(program.tunnelUrl, gateway.caCertificatePem)).status, 200)
    const neighbour = await open()
    const client = new Http1Client(neighbour.stream, neighbour.socket)
    const before = await measure(program.process)
    const { socket, stream } = await open()
    const answered = answersOf(socket, isFinished ? count : 400)
    socket.write(REQUEST.repeat(count))
    for (let asked = 0; asked < ASKED_MEANWHILE; asked++) assert.equal((await client.ask(REQUEST)).status, 200)
    const answers = await answered
    const after = await measure(program.process)
    socket.destroy()
    await stream.closeCode
    program.process.kill('SIGTERM')
    assert.equal((await program.process.ended).exitCode, 0)
    context.diagnostic(JSON.stringify({ plain, before, after, answers }))
    assert.ok(
      after.longestTurnMs <= plain.longestTurnMs + SLACK_MS,
      `${after.longestTurnMs} ms, ${plain.longestTurnMs} ms`,
    )
    const grownBytes = after.maxResidentBytes - before.maxResidentBytes
    assert.ok(grownBytes <= plain.grownBytes + SLACK_BYTES, `${grownBytes} bytes, ${plain.grownBytes} bytes`)
    const lines = readFileSync(join(gateway.folder, 'serve.jsonl'), 'utf8').trimEnd().split('\n')
    const records = lines.map((line) => JSON.parse(line) as InterceptAuditRecord)
    if (isFinished) assert.equal(answers, count)
    else assert.ok(records.length < count / 2, `${records.length} lines for a client that left`)
    // The one whose turn it was when the client left may not have come to the origin.
    const unsent = records.length - gateway.origin.requests.length
    assert.ok(unsent === 0 || (unsent === 1 && !isFinished), `${unsent} lines more than requests`)
  })
}
