// The origin's side of a tunnel by its own interface, over real TLS: what it takes for the end of an answer, and which
// connections it uses again.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { connect, type TLSSocket } from 'node:tls'
import { type Authority, parseAuthority } from 'ccr-upstream-proxy/protocol'
import { Guard } from '#gateway/guard.js'
import type { OriginAnswer, OriginExchange, OriginHandler } from '#gateway/intercept/origin-exchange.js'
import type { OriginRequest } from '#gateway/intercept/origin-request.js'
import { TunnelOrigin } from '#gateway/intercept/tunnel-origin.js'
import type { Refusal } from '#gateway/refusal.js'
import { Mailbox } from '../support/mailbox.js'
import { originCa, type RawConnection, type RawOrigin, startOrigin } from '../support/origin.js'
import { encodeFields, encodeFrame, FLAG, FRAME } from '../support/raw-http2.js'
import { HOST } from './fixture.js'

const GET: OriginRequest = {
  method: 'GET',
  target: '/',
  host: HOST,
  fields: [],
  injected: [],
  bodyLength: 'none',
  wantsTrailers: false,
}
const POST: OriginRequest = { ...GET, method: 'POST', bodyLength: 'unknown' }

type Protocol = 'http/1.1' | 'h2'

interface Stage {
  readonly origin: RawOrigin
  readonly tunnelOrigin: TunnelOrigin
  /** Every connection to the origin, on this side. */
  readonly dialled: Mailbox<TLSSocket>
}

/** One tunnel's connections to a raw origin. */
async function startStage(context: TestContext, protocol: Protocol): Promise<Stage> {
  const origin = await startOrigin(context, { protocol: 'raw', tls: { ALPNProtocols: [protocol] } })
  const dialled = new Mailbox<TLSSocket>()
  const dial = async (): Promise<TLSSocket> => {
    const options = { port: origin.port, servername: HOST, ca: originCa.rootPem, ALPNProtocols: [protocol] }
    const socket = connect(options).on('error', () => {})
    await once(socket, 'secureConnect')
    dialled.put(socket)
    return socket
  }
  const guard = new Guard((thrown) => assert.fail(thrown as Error))
  const tunnelOrigin = new TunnelOrigin(parseAuthority(`${HOST}:443`) as Authority, dial, guard)
  if (protocol === 'h2') tunnelOrigin.offerHttp2(100)
  context.after(() => tunnelOrigin.close())
  return { origin, tunnelOrigin, dialled }
}

/** One request, and what was reported of it. */
class Asked implements OriginHandler {
  readonly exchange: OriginExchange
  readonly opened: Promise<void>
  readonly answered: Promise<OriginAnswer>
  /** `end`, or the code of a failure. */
  readonly ended: Promise<string>
  bytes = 0
  originOnOpen!: () => void
  originOnAnswer!: (answer: OriginAnswer) => void
  #end!: (how: string) => void

  constructor({ tunnelOrigin }: Stage, request: OriginRequest) {
    this.opened = new Promise((resolve) => (this.originOnOpen = resolve))
    this.answered = new Promise((resolve) => (this.originOnAnswer = resolve))
    this.ended = new Promise((resolve) => (this.#end = resolve))
    this.exchange = tunnelOrigin.send(request, this)
  }

  originOnInterim(): void {}
  originOnDrain(): void {}

  originOnData(bytes: Buffer): void {
    this.bytes += bytes.length
  }

  originOnEnd(): void {
    this.#end('end')
  }

  originOnFailure(refusal: Refusal): void {
    this.#end(refusal.code)
  }
}

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n'

for (const [title, close] of [
  ['is closed', ({ socket }: RawConnection) => void socket.end()],
  ['is reset', ({ socket }: RawConnection) => void socket.destroy()],
] as const) {
  test(`HTTP/1.1: a whole answer stays whole when its connection ${title} before it is read`, async (context) => {
    const stage = await startStage(context, 'http/1.1')
    const asked = new Asked(stage, GET)
    await asked.opened
    asked.exchange.end([])
    const connection = await stage.origin.nextConnection()
    await connection.takeUntil('\r\n\r\n')
    connection.write(`${OK}\r\nhello`)
    await asked.answered
    close(connection)
    await once(await stage.dialled.next(), 'close')
    asked.exchange.resumeBody()
    assert.equal(await asked.ended, 'end')
    assert.equal(asked.bytes, 5)
  })
}

test('HTTP/1.1: an answer that is cut is a failure, read or not', async (context) => {
  const stage = await startStage(context, 'http/1.1')
  const asked = new Asked(stage, GET)
  await asked.opened
  asked.exchange.end([])
  const connection = await stage.origin.nextConnection()
  await connection.takeUntil('\r\n\r\n')
  connection.write(`${OK}\r\nhell`)
  await asked.answered
  connection.socket.end()
  await once(await stage.dialled.next(), 'close')
  asked.exchange.resumeBody()
  assert.equal(await asked.ended, 'connection-closed')
})

test('HTTP/1.1: an answer that overtook its request leaves no connection for the next one', async (context) => {
  const stage = await startStage(context, 'http/1.1')
  const asked = new Asked(stage, POST)
  await asked.opened
  const connection = await stage.origin.nextConnection()
  connection.socket.pause()
  const socket = await stage.dialled.next()
  // Until neither kernel takes more.
  while (socket.writableLength === 0) {
    asked.exchange.write(Buffer.alloc(1_000_000))
    for (let turn = 0; turn < 20 && socket.writableLength > 0; turn++) await nextTurn()
  }
  asked.exchange.end([])
  connection.write(`${OK}\r\nearly`)
  await asked.answered
  asked.exchange.resumeBody()
  assert.equal(await asked.ended, 'end')
  const next = new Asked(stage, GET)
  await next.opened
  next.exchange.end([])
  assert.match(await (await stage.origin.nextConnection()).takeUntil('\r\n'), /^GET /)
})

/** Answers with a body of five bytes, then resets the stream without an error, and waits until that was seen. */
async function answerAndReset(stage: Stage, asked: Asked, flags: number): Promise<void> {
  const connection = await stage.origin.nextConnection()
  connection.write(encodeFrame(FRAME.settings, 0, 0))
  await connection.takeUntil('PRI * HTTP/2.0')
  connection.write(encodeFrame(FRAME.headers, FLAG.endHeaders, 1, encodeFields([[':status', '200']])))
  connection.write(encodeFrame(FRAME.data, flags, 1, Buffer.from('hello')))
  await asked.answered
  connection.write(encodeFrame(FRAME.reset, 0, 1, Buffer.alloc(4)))
  connection.write(encodeFrame(FRAME.ping, 0, 0, Buffer.from('anything')))
  await connection.takeUntil('anything')
}

for (const request of [GET, POST]) {
  const { method } = request
  test(`HTTP/2: an answer to ${method} with its end is whole when a reset without an error follows`, async (context) => {
    const stage = await startStage(context, 'h2')
    const asked = new Asked(stage, request)
    await answerAndReset(stage, asked, FLAG.endStream)
    asked.exchange.resumeBody()
    assert.equal(await asked.ended, 'end')
    assert.equal(asked.bytes, 5)
  })

  test(`HTTP/2: an answer to ${method} without its end is a failure after a reset without an error`, async (context) => {
    const stage = await startStage(context, 'h2')
    const asked = new Asked(stage, request)
    await answerAndReset(stage, asked, 0)
    asked.exchange.resumeBody()
    assert.equal(await asked.ended, 'connection-closed')
  })
}
