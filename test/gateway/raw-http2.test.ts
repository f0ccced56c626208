// What HTTP/2 could smuggle into an HTTP/1.1 request, and what it could flood the gateway with: frames by hand.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { encodeFields, encodeFrame, FLAG, FRAME, type Frame, PREFACE, readFrames } from '../support/raw-http2.js'
import { HOST, startGateway, type TestGateway } from './fixture.js'

type Field = readonly [name: string, value: string]

const HEAD: readonly Field[] = [
  [':method', 'POST'],
  [':scheme', 'https'],
  [':authority', 'api.example.com'],
  [':path', '/'],
]
const withPseudo = (name: string, value: string | undefined) => {
  return HEAD.flatMap(([known, old]): Field[] => {
    if (known !== name) return [[known, old]]
    return value === undefined ? [] : [[known, value]]
  })
}

async function open(gateway: TestGateway): Promise<TLSSocket> {
  const { socket } = await gateway.connect(HOST, { protocols: ['h2'] })
  socket.write(PREFACE)
  return socket
}

const isFinal = ({ type, streamId, flags }: Frame) => {
  const isEndOfStream = streamId === 1 && (type === FRAME.reset || (flags & FLAG.endStream) !== 0)
  return type === FRAME.goaway || (isEndOfStream && type !== FRAME.settings)
}

/** How a request of these fields and this body ends: `reset`, `goaway`, the code of a refusal, or `answered`. */
async function outcomeOf(gateway: TestGateway, fields: readonly Field[], body: string | undefined): Promise<string> {
  const socket = await open(gateway)
  const isLast = body === undefined ? FLAG.endStream : 0
  socket.write(encodeFrame(FRAME.headers, FLAG.endHeaders | isLast, 1, encodeFields(fields)))
  if (body !== undefined) socket.write(encodeFrame(FRAME.data, FLAG.endStream, 1, Buffer.from(body)))
  const frames = await readFrames(socket, isFinal)
  socket.destroy()
  const text = frames.flatMap(({ type, payload }) => (type === FRAME.data ? [payload.toString()] : [])).join('')
  const code = /"code":"([a-z-]+)"/.exec(text)?.[1]
  if (code !== undefined) return code
  const last = frames.at(-1)
  if (last?.type === FRAME.reset) return 'reset'
  return last === undefined || last.type === FRAME.goaway ? 'goaway' : 'answered'
}

const HIDDEN = 'GET /hidden HTTP/1.1\r\nHost: api.example.com\r\n\r\n'
const CASES: readonly (readonly [title: string, fields: readonly Field[], body?: string])[] = [
  ['a name in upper case', [...HEAD, ['Transfer-Encoding', 'chunked']]],
  ['Transfer-Encoding', [...HEAD, ['transfer-encoding', 'chunked']], `0\r\n\r\n${HIDDEN}`],
  ['Connection', [...HEAD, ['connection', 'authorization']]],
  ['Proxy-Connection', [...HEAD, ['proxy-connection', 'keep-alive']]],
  ['Upgrade', [...HEAD, ['upgrade', 'websocket']]],
  ['TE other than trailers', [...HEAD, ['te', 'chunked']]],
  ['two lengths', [...HEAD, ['content-length', '5'], ['content-length', '6']], 'hello'],
  ['a length that is no number', [...HEAD, ['content-length', '+5']], 'hello'],
  ['a blank in the method', withPseudo(':method', 'GET /hidden HTTP/1.1')],
  ['CRLF in the method', withPseudo(':method', `GET / HTTP/1.1\r\nHost: x\r\n\r\n${HIDDEN}`)],
  ['TRACE', withPseudo(':method', 'TRACE')],
  ['a blank in the path', withPseudo(':path', '/ HTTP/1.1')],
  ['CRLF in the path', withPseudo(':path', `/ HTTP/1.1\r\nHost: x\r\n\r\n${HIDDEN}`)],
  ['a fragment in the path', withPseudo(':path', '/#x')],
  ['a path without a slash', withPseudo(':path', 'hidden')],
  ['an absolute path', withPseudo(':path', 'https://evil.example/')],
  ['an empty path', withPseudo(':path', '')],
  ['no path', withPseudo(':path', undefined)],
  ['the scheme http', withPseudo(':scheme', 'http')],
  ['a scheme with a path', withPseudo(':scheme', 'https://evil.example/?')],
  ['no scheme', withPseudo(':scheme', undefined)],
  ['no authority', withPseudo(':authority', undefined)],
  ['userinfo in the authority', withPseudo(':authority', 'user@api.example.com')],
  ['two Host fields', [...HEAD, ['host', 'api.example.com'], ['host', 'api.example.com']]],
  ['another Host', [...HEAD, ['host', 'other.example.com']]],
  ['a pseudo field twice', [...HEAD, [':path', '/hidden']]],
  ['a pseudo field behind the others', [['a', 'b'], ...HEAD]],
  ['an unknown pseudo field', [...HEAD, [':hidden', 'x']]],
  ['extended CONNECT', [...withPseudo(':method', 'CONNECT'), [':protocol', 'websocket']]],
  [
    'CONNECT',
    [
      [':method', 'CONNECT'],
      [':authority', 'api.example.com:443'],
    ],
  ],
]

/** nghttp2 drops a field that breaks the rules of its bytes, and lets the request through without it. */
const DROPPED: typeof CASES = [
  ['CRLF in a value', [...HEAD, ['a', `b\r\nTransfer-Encoding: chunked\r\n\r\n${HIDDEN}`]]],
  ['LF in a value', [...HEAD, ['a', 'b\nc: d']]],
  ['NUL in a value', [...HEAD, ['a', 'b\0c']]],
  ['CRLF in a name', [...HEAD, ['a: b\r\nc', 'd']]],
  ['a colon in a name', [...HEAD, ['a:b', 'c']]],
  ['a blank in a name', [...HEAD, ['transfer-encoding ', 'chunked']]],
  ['an empty name', [...HEAD, ['', 'x']]],
]

test('a field that breaks the rules of its bytes goes no further', async (context) => {
  const gateway = await startGateway(context)
  for (const [title, fields] of DROPPED) {
    const before = gateway.origin.requests.length
    assert.equal(await outcomeOf(gateway, fields, undefined), 'answered', title)
    const [seen, ...more] = gateway.origin.requests.slice(before)
    assert.deepEqual(more, [], title)
    const own = ['Host', 'authorization', 'Content-Length', 'Connection']
    assert.deepEqual(
      seen?.rawHeaders.filter((_, at) => at % 2 === 0),
      own,
      title,
    )
  }
})

for (const [protocol, origin] of [
  ['http/1.1', 'http1'],
  ['h2', 'http2'],
] as const) {
  test(`${CASES.length} requests that HTTP/2 should not carry are refused, ${protocol} to the origin`, async (context) => {
    const gateway = await startGateway(context, { origin: { protocol: origin } })
    const failures: string[] = []
    for (const [title, fields, body] of CASES) {
      const outcome = await outcomeOf(gateway, fields, body)
      if (!['reset', 'goaway', 'bad-request', 'misdirected', 'method-not-allowed'].includes(outcome)) {
        failures.push(`${title}: ${outcome}`)
      }
    }
    assert.ok(failures.length === 0, failures.join('\n'))
    assert.equal(gateway.origin.connections, 0)
  })
}

test('a body that is shorter or longer than its length is never a whole request at the origin', async (context) => {
  const gateway = await startGateway(context)
  for (const body of ['four', 'six by']) {
    const outcome = await outcomeOf(gateway, [...withPseudo(':path', '/upload'), ['content-length', '5']], body)
    assert.ok(['reset', 'goaway'].includes(outcome), `${body}: ${outcome}`)
    const record = await gateway.nextRecord()
    assert.ok(record.mode === 'intercept' && record.error === 'client-protocol-error', JSON.stringify(record))
  }
  const fine = await outcomeOf(gateway, [...withPseudo(':path', '/upload'), ['content-length', '5']], 'hello')
  assert.equal(fine, 'answered')
  assert.ok(gateway.origin.requests.every(({ path }) => path === '/upload'))
})

/** The error code of the GOAWAY that `flood` is answered with; undefined when the connection just ended. */
async function goawayAfter(gateway: TestGateway, flood: (socket: TLSSocket) => void): Promise<number | undefined> {
  const socket = await open(gateway)
  flood(socket)
  const frames = await readFrames(socket, ({ type }) => type === FRAME.goaway)
  socket.destroy()
  return frames.find(({ type }) => type === FRAME.goaway)?.payload.readUInt32BE(4)
}

const ENHANCE_YOUR_CALM = 0xb
const idOf = (index: number) => index * 2 + 1
const reset = (id: number) => encodeFrame(FRAME.reset, 0, id, Buffer.from([0, 0, 0, 8]))

test('streams that are opened and reset at once, pings and settings without end close the connection', async (context) => {
  const gateway = await startGateway(context)
  const block = encodeFields(withPseudo(':path', '/silent'))
  const rapidReset = await goawayAfter(gateway, (socket) => {
    for (let index = 0; index < 3_000; index++) {
      const id = idOf(index)
      socket.write(Buffer.concat([encodeFrame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, id, block), reset(id)]))
    }
  })
  assert.ok([ENHANCE_YOUR_CALM, 2, undefined].includes(rapidReset), `GOAWAY ${rapidReset}`)
  const flood = (frame: Buffer) => (socket: TLSSocket) => {
    for (let index = 0; index < 5_000; index++) socket.write(frame)
  }
  for (const frame of [encodeFrame(FRAME.ping, 0, 0, Buffer.alloc(8)), encodeFrame(FRAME.settings, 0, 0)]) {
    const code = await goawayAfter(gateway, flood(frame))
    assert.ok(code === ENHANCE_YOUR_CALM || code === undefined, `GOAWAY ${code}`)
  }
})

test('a head that goes on and on in CONTINUATION frames closes the connection', async (context) => {
  const gateway = await startGateway(context)
  await goawayAfter(gateway, (socket) => {
    socket.write(encodeFrame(FRAME.headers, FLAG.endStream, 1, encodeFields(HEAD)))
    const more = encodeFields([['a', 'x'.repeat(1_000)]])
    for (let index = 0; index < 1_000; index++) socket.write(encodeFrame(FRAME.continuation, 0, 1, more))
  })
  assert.equal(gateway.origin.connections, 0)
})

test('a head of more than 32 KiB is refused', async (context) => {
  const gateway = await startGateway(context)
  const fields: Field[] = Array.from({ length: 40 }, (_, index) => [`a${index}`, 'x'.repeat(1_000)])
  const socket = await open(gateway)
  const block = encodeFields([...HEAD, ...fields])
  const pieces: Buffer[] = []
  for (let at = 0; at < block.length; at += 16_000) pieces.push(block.subarray(at, at + 16_000))
  for (const [index, piece] of pieces.entries()) {
    const flags = index === pieces.length - 1 ? FLAG.endHeaders : 0
    socket.write(
      encodeFrame(
        index === 0 ? FRAME.headers : FRAME.continuation,
        index === 0 ? flags | FLAG.endStream : flags,
        1,
        piece,
      ),
    )
  }
  const frames = await readFrames(socket, isFinal)
  assert.ok(frames.some(({ payload }) => payload.includes('"code":"head-too-large"')))
  socket.destroy()
  assert.equal(gateway.origin.connections, 0)
})

test('the 101st stream at once is refused, and may be sent again', async (context) => {
  const gateway = await startGateway(context, { origin: { protocol: 'http2' } })
  const socket = await open(gateway)
  const block = encodeFields(withPseudo(':path', '/silent'))
  for (let index = 0; index < 101; index++) {
    socket.write(encodeFrame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, idOf(index), block))
  }
  const frames = await readFrames(socket, ({ type }) => type === FRAME.reset)
  const REFUSED_STREAM = 7
  const last = frames.at(-1)
  assert.equal(last?.streamId, idOf(100))
  assert.equal(last?.payload.readUInt32BE(0), REFUSED_STREAM)
  socket.destroy()
})
