// An HTTP/2 client that breaks the protocol ends its own tunnel, with a line for each of its requests, and nothing else.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ByteInbox } from '../support/byte-inbox.js'
import { encodeFields, encodeFrame, FLAG, FRAME, PREFACE } from '../support/raw-http2.js'
import { HOST, startGateway } from './fixture.js'

const LIMITS = { handshakeTimeoutMs: 60_000, requestHeadTimeoutMs: 400 }
const request = (path: string, method = 'GET') => {
  return encodeFields([
    [':method', method],
    [':scheme', 'https'],
    [':authority', HOST],
    [':path', path],
  ])
}
const ask = (id: number, path: string) =>
  encodeFrame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, id, request(path))

/** What is sent after ALPN agreed on h2, and is none. */
const BROKEN: readonly (readonly [title: string, bytes: Buffer])[] = [
  ['garbage', Buffer.alloc(100, 'x')],
  ['a request of HTTP/1.1', Buffer.from(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)],
  [
    'settings of five bytes',
    Buffer.concat([PREFACE.subarray(0, 24), encodeFrame(FRAME.settings, 0, 0, Buffer.alloc(5))]),
  ],
  [
    'a ping before the settings',
    Buffer.concat([PREFACE.subarray(0, 24), encodeFrame(FRAME.ping, 0, 0, Buffer.alloc(8))]),
  ],
  ['data of stream 0', Buffer.concat([PREFACE, encodeFrame(FRAME.data, 0, 0, Buffer.from('x'))])],
]

test('bytes that are no HTTP/2 end their tunnel, and a bystander is answered', async (context) => {
  const gateway = await startGateway(context)
  const bystander = await gateway.openHttp1()
  for (const [title, bytes] of BROKEN) {
    const { socket, stream } = await gateway.connect(HOST, { protocols: ['h2'] })
    socket.on('error', () => {})
    socket.write(bytes)
    await stream.closeCode
    socket.destroy()
    assert.equal((await bystander.ask(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)).status, 200, title)
  }
})

test('requests that are under way when the client breaks the protocol have their lines, although it stays', async (context) => {
  const gateway = await startGateway(context)
  const count = 20
  for (let tunnel = 0; tunnel < count; tunnel++) {
    const { socket, stream } = await gateway.connect(HOST, { protocols: ['h2'] })
    socket.on('error', () => {})
    socket.write(Buffer.concat([PREFACE, ask(1, '/silent'), encodeFrame(FRAME.data, 0, 0, Buffer.from('x'))]))
    await stream.closeCode
  }
  const records = await gateway.untilRecords(count)
  for (const record of records) {
    assert.ok(record.mode === 'intercept' && record.path === '/silent' && record.status === 0)
    assert.equal(record.error, 'client-protocol-error')
  }
  await gateway.close()
})

const REQUEST_HEADS: readonly (readonly [title: string, method: string, path: string])[] = [
  ['that goes to the origin', 'POST', '/silent'],
  ['that is refused', 'TRACE', '/'],
  ['of a HEAD', 'HEAD', '/silent'],
]

for (const [title, method, path] of REQUEST_HEADS) {
  test(`a request ${title} has its line when it is reset without an error while its body waits`, async (context) => {
    const gateway = await startGateway(context)
    const { socket, stream } = await gateway.connect(HOST, { protocols: ['h2'] })
    const inbox = new ByteInbox()
    socket.on('data', (bytes: Buffer) => inbox.push(bytes))
    // No window for an answer: what is left of the request is all that can end it.
    const noWindow = encodeFrame(FRAME.settings, 0, 0, Buffer.from([0, 4, 0, 0, 0, 0]))
    const begin = (id: number) => {
      const head = encodeFrame(FRAME.headers, FLAG.endHeaders, id, request(path, method))
      return Buffer.concat([head, encodeFrame(FRAME.data, 0, id, Buffer.alloc(1_000))])
    }
    const reset = (id: number) => encodeFrame(FRAME.reset, 0, id, Buffer.alloc(4))
    socket.write(Buffer.concat([PREFACE, noWindow, begin(1), reset(1), begin(3)]))
    // The answer to a ping: what came before it was seen.
    socket.write(encodeFrame(FRAME.ping, 0, 0, Buffer.from('anything')))
    await inbox.takeUntil('anything')
    socket.write(reset(3))
    for (const record of await gateway.untilRecords(2)) {
      assert.ok(record.mode === 'intercept' && record.method === method)
      assert.ok(record.error !== undefined && record.error !== 'internal', record.error)
    }
    socket.destroy()
    await stream.closeCode
  })
}

test('a client that leaves in the middle of anything ends its own tunnel only', async (context) => {
  const gateway = await startGateway(context)
  const bystander = await gateway.openHttp1()
  const refused = encodeFrame(FRAME.headers, FLAG.endHeaders, 1, request('no/path'))
  const trailers = encodeFrame(FRAME.headers, FLAG.endStream, 1, request('/').subarray(0, 5))
  for (const bytes of [
    refused,
    Buffer.concat([refused, trailers]),
    ask(1, '/silent'),
    ask(1, '/'),
    refused.subarray(0, 12),
  ]) {
    for (const leave of ['end', 'destroy'] as const) {
      const { socket, stream } = await gateway.connect(HOST, { protocols: ['h2'] })
      socket.on('error', () => {})
      socket.write(Buffer.concat([PREFACE, bytes]))
      socket[leave]()
      stream.destroy()
      assert.equal((await bystander.ask(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)).status, 200)
    }
  }
})

for (const [title, bytes] of [
  ['a preface', PREFACE.subarray(0, 20)],
  ['a header block', Buffer.concat([PREFACE, encodeFrame(FRAME.headers, 0, 1, request('/').subarray(0, 9))])],
  ['a head of a frame', Buffer.concat([PREFACE, ask(1, '/').subarray(0, 5)])],
] as const) {
  test(`${title} that does not end is not waited for, and is in the audit`, async (context) => {
    const gateway = await startGateway(context, { options: { interceptLimits: LIMITS } })
    const { socket, stream } = await gateway.connect(HOST, { protocols: ['h2'] })
    socket.on('error', () => {})
    socket.write(bytes)
    await stream.closeCode
    const record = await gateway.nextRecord()
    assert.ok(record.mode === 'refused' && record.code === 'head-timeout')
  })
}
