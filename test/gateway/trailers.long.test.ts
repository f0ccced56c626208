// Trailers that node's libraries refuse to send, or that no parser should take: from either side they end their own request at most,
// with one line in the audit and an outcome that is documented.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import type { Listening } from '../support/listening.js'
import { type RawConnection, startOrigin } from '../support/origin.js'
import { encodeFields, encodeFrame, FLAG, FRAME, PREFACE } from '../support/raw-http2.js'
import { HOST, startGateway, type TestGateway } from './fixture.js'
import { startFrameOrigin } from './frame-origin.js'
import { ask } from './http2-client.js'

type Field = readonly [name: string, value: string]

/** Fields of which each is nothing for trailers, or for the API that sends them. */
const TRAILERS: readonly (readonly Field[])[] = [
  [['http2-settings', 'AAMAAABk']],
  [['connection', 'close']],
  [['connection', 'x-sum']],
  [['keep-alive', 'timeout=5']],
  [['proxy-connection', 'close']],
  [['transfer-encoding', 'chunked']],
  [['upgrade', 'h2c']],
  [['te', 'gzip']],
  [['content-length', '5']],
  [['host', 'evil.example']],
  [['authorization', 'mine']],
  [['trailer', 'x-sum']],
  ...['etag', 'content-type', 'age', 'retry-after', 'location', 'user-agent', 'x-content-type-options', 'dnt'].map(
    (name): Field[] => [
      [name, '1'],
      [name, '2'],
    ],
  ),
  [
    ['content-encoding', 'a'],
    ['content-encoding', 'b'],
  ],
  [
    ['set-cookie', 'a=b'],
    ['set-cookie', 'c=d'],
  ],
  [[':status', '200']],
  [[':path', '/hidden']],
  [[':hidden', 'x']],
  [['__proto__', 'x']],
  [['constructor', 'x']],
  [['X-Upper', 'x']],
  [['', 'x']],
  [['a b', 'x']],
  [['a:b', 'x']],
  [['a\r\nb', 'x']],
  [['a\0', 'x']],
  [['\xe9', 'x']],
  [['a', '\x01']],
  [['a', 'b\0c']],
  [['a', 'b\rc']],
  [['a', 'b\nc: d']],
  [['a', 'b\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n']],
  [['a', '\x7f']],
  [['a', ' x ']],
  [['a', '\xe9\xff']],
  [['a', '']],
  Array.from({ length: 700 }, (_, at): Field => [`a${at}`, 'x']),
  [['a', 'x'.repeat(15_000)]],
]

/** The ends that trailers may have brought about. */
const OUTCOMES: ReadonlySet<string | undefined> = new Set([
  undefined,
  ...['bad-request', 'head-too-large', 'client-protocol-error'],
  ...['response-invalid', 'response-head-too-large', 'upstream-aborted', 'connection-closed'],
])

/** Sends each of TRAILERS by `send`, which gives back how to leave after that. */
async function assertOutcomes(
  gateway: TestGateway<Listening>,
  send: (path: string, fields: readonly Field[]) => Promise<{ destroy(): void }>,
): Promise<void> {
  for (const [index, fields] of TRAILERS.entries()) {
    const client = await send(`/${index}`, fields)
    const record = await gateway.nextRecord()
    client.destroy()
    const title = JSON.stringify(fields).slice(0, 100)
    assert.ok(record.mode === 'intercept' && record.path === `/${index}`, `${title}: ${JSON.stringify(record)}`)
    assert.ok(OUTCOMES.has(record.error), `${title}: ${record.error}`)
    // A whole answer, or the word of what was wrong.
    assert.ok(record.error !== undefined || record.status === 200, `${title}: ${record.status}`)
  }
  assert.equal(gateway.audit.length, TRAILERS.length)
  assert.deepEqual(gateway.warnings, [])
}

function inLines(fields: readonly Field[]): string {
  return fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
}

function headersOf(streamId: number, fields: readonly Field[], flags = 0): Buffer {
  return encodeFrame(FRAME.headers, FLAG.endHeaders | flags, streamId, encodeFields(fields))
}

async function sendOverHttp1(
  gateway: TestGateway<Listening>,
  path: string,
  fields: readonly Field[],
): Promise<TLSSocket> {
  const { socket } = await gateway.connect()
  const head = `POST ${path} HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n`
  socket.resume().write(`${head}2\r\nhi\r\n0\r\n${inLines(fields)}\r\n`, 'latin1')
  return socket
}

async function sendOverHttp2(
  gateway: TestGateway<Listening>,
  path: string,
  fields: readonly Field[],
): Promise<TLSSocket> {
  const { socket } = await gateway.connect(HOST, { protocols: ['h2'] })
  socket.resume().on('error', () => {})
  const pseudo: Field[] = [
    [':method', 'POST'],
    [':scheme', 'https'],
    [':authority', HOST],
    [':path', path],
  ]
  const body = encodeFrame(FRAME.data, 0, 1, Buffer.from('hi'))
  socket.write(Buffer.concat([PREFACE, headersOf(1, pseudo), body, headersOf(1, fields, FLAG.endStream)]))
  return socket
}

for (const protocol of ['http1', 'http2'] as const) {
  test(`trailers of an HTTP/2 request, ${protocol} to the origin`, async (context) => {
    const gateway = await startGateway(context, { origin: { protocol } })
    await assertOutcomes(gateway, (path, fields) => sendOverHttp2(gateway, path, fields))
  })
}

test('trailers of an HTTP/1.1 request', async (context) => {
  const gateway = await startGateway(context)
  await assertOutcomes(gateway, (path, fields) => sendOverHttp1(gateway, path, fields))
})

for (const client of ['http/1.1', 'h2'] as const) {
  test(`trailers of an HTTP/1.1 answer to a client of ${client}`, async (context) => {
    let trailers: readonly Field[] = []
    const handler = (connection: RawConnection) => {
      connection.socket.on('data', () => {
        const head = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n'
        connection.write(`${head}${inLines(trailers)}\r\n`)
      })
    }
    const gateway = await startGateway(context, { origin: await startOrigin(context, { protocol: 'raw', handler }) })
    await assertOutcomes(gateway, async (path, fields) => {
      trailers = fields
      return askFor(gateway, client, path)
    })
  })
}

test('trailers of an HTTP/2 answer', async (context) => {
  let trailers: readonly Field[] = []
  const origin = await startFrameOrigin(context, ({ type, streamId }) => {
    if (type !== FRAME.headers) return []
    const head = headersOf(streamId, [[':status', '200']])
    return [
      head,
      encodeFrame(FRAME.data, 0, streamId, Buffer.from('hi')),
      headersOf(streamId, trailers, FLAG.endStream),
    ]
  })
  const gateway = await startGateway(context, { origin })
  await assertOutcomes(gateway, async (path, fields) => {
    trailers = fields
    return askFor(gateway, 'h2', path)
  })
})

async function askFor(
  gateway: TestGateway<Listening>,
  client: 'http/1.1' | 'h2',
  path: string,
): Promise<{ destroy(): void }> {
  if (client === 'h2') {
    const { session } = await gateway.openHttp2()
    await ask(session, { ':path': path })
    return session
  }
  const { socket } = await gateway.connect()
  socket.resume().write(`GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`)
  return socket
}
