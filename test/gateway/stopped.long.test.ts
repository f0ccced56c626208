// A gateway whose process is stopped (SIGSTOP, a paused container, a snapshot) for longer than every limit: what came meanwhile has
// come in time, and no client that did its part is cut off.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect as connectTcp, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { RunningProcess } from '../support/cli-process.js'
import { listen } from '../support/listening.js'
import { Mailbox } from '../support/mailbox.js'
import { type Origin, startOrigin } from '../support/origin.js'
import {
  CREDENTIALS,
  callThrough,
  HOST,
  requestOver,
  responseOf,
  startGateway,
  type TestGateway,
  textOf,
  tunnelUrlOf,
} from './fixture.js'
import { ask, startHttp2 } from './http2-client.js'
import { connect, connectHead, openWire, readAnswer, startTls } from './wire-client.js'

/** Long enough for what the test does before and after the stop on a machine that has much to do. */
const LIMIT_MS = 5_000
const STOP_MS = 7_000

/** Serves a config with limits that an embedding program may set. */
const PROGRAM = `
  import { loadGatewayConfig, startGateway } from 'ccr-upstream-gateway'
  const limit = ${LIMIT_MS}
  const gateway = await startGateway(loadGatewayConfig(process.argv[1], process.env), {
    connectHeadTimeoutMs: limit,
    connectWaitMs: limit,
    dialTimeoutMs: limit,
    responseHeadTimeoutMs: limit,
    interceptLimits: { handshakeTimeoutMs: limit, requestHeadTimeoutMs: limit },
  })
  console.error('listening on ' + gateway.url)
`

interface Program {
  readonly process: RunningProcess
  readonly tunnelUrl: string
}

/** With the config of `gateway`, which itself is only there for its origin and its certificates. */
async function start(context: TestContext, gateway: TestGateway<Origin>): Promise<Program> {
  gateway.put('stopped.json', gateway.configTextWith({ audit: 'stopped.jsonl' }))
  const args = ['--input-type=module', '-e', PROGRAM, `${gateway.folder}/stopped.json`]
  const program = new RunningProcess(context, process.execPath, args, {
    env: { PATH: process.env.PATH, ...gateway.env },
  })
  const [, url = ''] = await program.until(/listening on (\S+)\n/, 'stderr')
  return { process: program, tunnelUrl: tunnelUrlOf({ url }) }
}

/** Stops the process, lets `meanwhile` happen, and lets it go on after the time. */
async function stop({ pid }: RunningProcess, meanwhile: () => void): Promise<void> {
  process.kill(pid, 'SIGSTOP')
  while (!/\) T /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))) await wait(1)
  meanwhile()
  await wait(STOP_MS)
  process.kill(pid, 'SIGCONT')
}

/** A way to the origin that opens when it is told to; what was accepted until then. */
async function startGate(context: TestContext, origin: Origin) {
  const accepted = new Mailbox<Socket>()
  const { address } = await listen(
    context,
    createServer((socket) => accepted.put(socket.on('error', () => {}))),
  )
  const open = (socket: Socket) => {
    const onward = connectTcp(origin.port, '127.0.0.1').on('error', () => socket.destroy())
    socket.pipe(onward).pipe(socket)
    socket.once('close', () => onward.destroy())
  }
  return { address, accepted, open }
}

test('no wait of a client, of an origin and of a dial is judged by the time of a stop', {
  timeout: 1_800_000,
}, async (context) => {
  const held = new Mailbox<ServerResponse>()
  const handler = ({ url }: IncomingMessage, response: ServerResponse) => {
    if (url === '/held') held.put(response)
    else response.end('now')
  }
  const origin = await startOrigin(context, { protocol: 'both', handler: handler as never })
  const gate = await startGate(context, origin)
  const gateway = await startGateway(context, {
    origin,
    rules: { [HOST]: [], 'other.example.com': [] },
    upstream: {
      allowPorts: [443],
      connectTo: { [`${HOST}:443`]: origin.address, 'other.example.com:443': gate.address },
    },
  })
  const { process: program, tunnelUrl } = await start(context, gateway)
  const ca = gateway.caCertificatePem
  const openTunnel = async () => (await connect(tunnelUrl, CREDENTIALS, `${HOST}:443`)).stream

  // Each has begun something when the stop comes.
  const waiting = await openWire(tunnelUrl, CREDENTIALS.token)
  const beginning = await openWire(tunnelUrl, CREDENTIALS.token)
  const head = connectHead(`${HOST}:443`, CREDENTIALS)
  beginning.write(head.slice(0, 20))
  const shaking = await openTunnel()
  const http1 = await startTls(await openTunnel(), ca, HOST)
  http1.write('GET /late HTTP/1.1\r\nHost: ')
  const preface = await startTls(await openTunnel(), ca, HOST, ['h2'], HOST)
  const asked = requestOver(await startTls(await openTunnel(), ca, HOST), { path: '/held' })
  asked.end()
  const response = await held.next()
  const dialling = connect(tunnelUrl, CREDENTIALS, 'other.example.com:443')
  const gated = requestOver(await startTls((await dialling).stream, ca, 'other.example.com'), {
    headers: { host: 'other.example.com' },
  })
  gated.end()
  const dialled = await gate.accepted.next()
  // What was sent before this has been read.
  assert.equal((await callThrough(tunnelUrl, ca)).status, 200)

  const answers: Promise<readonly [string, number]>[] = []
  const expect = (what: string, status: Promise<number | undefined>) => {
    answers.push(
      status.then((status = 0) => [what, status] as const).catch((error) => [`${what}: ${error.message}`, 0]),
    )
  }
  await stop(program, () => {
    waiting.write(head)
    expect(
      'a CONNECT',
      readAnswer(waiting).then(({ status }) => status),
    )
    beginning.write(head.slice(20))
    expect(
      'the rest of a CONNECT',
      readAnswer(beginning).then(({ status }) => status),
    )
    expect(
      'a handshake',
      startTls(shaking, ca, HOST).then(async (socket) => {
        const request = requestOver(socket)
        request.end()
        return (await responseOf(request)).statusCode
      }),
    )
    expect(
      'the rest of a head',
      once(http1, 'data').then(([bytes]) => Number(String(bytes).split(' ')[1])),
    )
    http1.write(`${HOST}\r\n\r\n`)
    expect(
      'a preface',
      ask(startHttp2(preface, HOST), { ':path': '/' }).then(({ status }) => status),
    )
    expect(
      'an answer',
      responseOf(asked).then(async (answer) => {
        assert.equal(await textOf(answer), 'held')
        return answer.statusCode
      }),
    )
    response.end('held')
    expect(
      'a dial',
      responseOf(gated).then(({ statusCode }) => statusCode),
    )
    gate.open(dialled)
  })
  assert.deepEqual(Object.fromEntries(await Promise.all(answers)), {
    'a CONNECT': 200,
    'the rest of a CONNECT': 200,
    'a handshake': 200,
    'the rest of a head': 200,
    'a preface': 200,
    'an answer': 200,
    'a dial': 200,
  })
})
