// Hundreds of HTTP/2 tunnels that end by an error or for a flood while a request is under way, in a program of its own: each request has
// its line, no tunnel stays open, and the program ends when it is told to. About 10 s of CPU.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { InterceptAuditRecord } from 'ccr-upstream-gateway'
import { freePort } from '../support/listening.js'
import { encodeFields, encodeFrame, FLAG, FRAME, PREFACE } from '../support/raw-http2.js'
import { CREDENTIALS, HOST, startGateway } from './fixture.js'
import { serve } from './gateway-program.js'
import { connect, startTls } from './wire-client.js'

const TUNNELS = 200
const CLIENTS = 10
const REQUEST = encodeFrame(
  FRAME.headers,
  FLAG.endHeaders | FLAG.endStream,
  1,
  encodeFields([
    [':method', 'GET'],
    [':scheme', 'https'],
    [':authority', HOST],
    [':path', '/silent'],
  ]),
)

const ENDS = [
  ['client-protocol-error', encodeFrame(FRAME.data, 0, 0, Buffer.from('data of no stream'))],
  ['client-flood', Buffer.concat(Array(1_100).fill(encodeFrame(FRAME.ping, 0, 0, Buffer.alloc(8))))],
] as const

for (const [code, bytes] of ENDS) {
  test(`${TUNNELS} tunnels that end with ${code} leave ${TUNNELS} lines and no open tunnel, and SIGTERM ends the program`, async (context) => {
    const gateway = await startGateway(context)
    const port = await freePort()
    const program = await serve(context, gateway, { admin: { listen: `127.0.0.1:${port}` } })
    const endOne = async () => {
      const { stream } = await connect(program.tunnelUrl, CREDENTIALS, `${HOST}:443`)
      const socket = await startTls(stream, gateway.caCertificatePem, HOST, ['h2'])
      // The client stays: what ends is ended by the gateway.
      socket.resume().write(Buffer.concat([PREFACE, REQUEST, bytes]))
      await stream.closeCode
      socket.destroy()
    }
    let left = TUNNELS
    const client = async () => {
      while (left-- > 0) await endOne()
    }
    await Promise.all(Array.from({ length: CLIENTS }, client))
    while (!/^ccr_gateway_open_tunnels 0$/m.test(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text())) {
      await sleep(20)
    }
    program.process.kill('SIGTERM')
    assert.equal((await program.process.ended).exitCode, 0)
    const lines = readFileSync(join(gateway.folder, 'serve.jsonl'), 'utf8').trimEnd().split('\n')
    const records = lines.map((line) => JSON.parse(line) as InterceptAuditRecord)
    assert.deepEqual(
      [records.length, new Set(records.map(({ path, error }) => `${path} ${error}`))],
      [TUNNELS, new Set([`/silent ${code}`])],
    )
  })
}
