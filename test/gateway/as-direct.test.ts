// What a client and an origin would see of each other without a gateway between them, they see with it: what node's libraries would
// change by themselves, on either side.

import assert from 'node:assert/strict'
import type { RequestListener } from 'node:http'
import { describe, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { RawConnection } from '../support/origin.js'
import { startOrigin } from '../support/origin.js'
import { encodeFields, encodeFrame, FLAG, FRAME } from '../support/raw-http2.js'
import { HOST, startGateway } from './fixture.js'
import { ask } from './http2-client.js'

const UPLOAD = 'x'.repeat(300_000)

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

/** A raw origin that answers each request of one connection with the next of `answers`. */
async function answering(connection: RawConnection, ...answers: string[]): Promise<string[]> {
  const heads: string[] = []
  for (const answer of answers) {
    heads.push(await connection.takeUntil('\r\n\r\n'))
    connection.write(answer)
  }
  return heads
}

describe('a request over HTTP/1.1', () => {
  test('by any method without a body has no body in chunks', async (context) => {
    const origin = await startOrigin(context, { protocol: 'raw' })
    const gateway = await startGateway(context, { origin })
    const client = await gateway.openHttp1()
    const methods = ['MKCOL', 'PROPFIND', 'LIST', 'POST', 'DELETE', 'M-SEARCH']
    const seen = origin.nextConnection().then((connection) => answering(connection, ...methods.map(() => OK)))
    for (const method of methods) {
      assert.equal((await client.ask(`${method} /x HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)).body, 'ok')
    }
    for (const [index, head] of (await seen).entries()) {
      assert.ok(head.startsWith(`${methods[index]} /x HTTP/1.1\r\n`), head)
      assert.ok(!/transfer-encoding/i.test(head), head)
      assert.match(head, methods[index] === 'DELETE' ? /^(?![\s\S]*content-length)/i : /\r\nContent-Length: 0\r\n/)
    }
  })

  test('that takes trailers says so to the origin, and gets them', async (context) => {
    const origin = await startOrigin(context, { protocol: 'raw' })
    const gateway = await startGateway(context, { origin })
    const client = await gateway.openHttp1()
    const trailing =
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n'
    const seen = origin.nextConnection().then((connection) => answering(connection, trailing))
    const answer = await client.ask(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nTE: trailers\r\nConnection: TE\r\n\r\n`)
    assert.match((await seen)[0] as string, /\r\nConnection: TE\r\nTE: trailers\r\n/)
    assert.deepEqual([answer.body, answer.trailers.get('x-sum')], ['ok', ['1']])
  })

  test('gets every status, and heads with bytes beyond ASCII as they came', async (context) => {
    const origin = await startOrigin(context, { protocol: 'raw' })
    const gateway = await startGateway(context, { origin })
    const { socket } = await gateway.connect()
    const bytes =
      'HTTP/1.1 103 Early Hints\r\nX-Name: caf\xe9\r\n\r\nHTTP/1.1 999 D\xe9ni\r\nX-Name: caf\xe9\r\nContent-Length: 2\r\n\r\nok'
    const seen = origin.nextConnection().then((connection) => answering(connection, bytes))
    socket.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`)
    await seen
    const pieces: Buffer[] = []
    for await (const piece of socket) pieces.push(piece)
    const text = Buffer.concat(pieces).toString('latin1')
    assert.match(
      text,
      /^HTTP\/1\.1 103 Early Hints\r\nX-Name: caf\xe9\r\n\r\nHTTP\/1\.1 999 D\xe9ni\r\nX-Name: caf\xe9\r\n/,
    )
  })

  test('of HTTP/1.0, offered by ALPN alone, is answered without chunks and closed', async (context) => {
    const chunked = (_request: unknown, response: { write(text: string): void; end(text: string): void }) => {
      response.write('not ')
      response.end('in chunks')
    }
    const gateway = await startGateway(context, { origin: { handler: chunked } })
    const { socket } = await gateway.connect(HOST, { protocols: ['http/1.0'] })
    assert.equal(socket.alpnProtocol, 'http/1.0')
    socket.write(`GET / HTTP/1.0\r\nHost: ${HOST}\r\n\r\n`)
    const pieces: Buffer[] = []
    for await (const piece of socket) pieces.push(piece)
    const text = Buffer.concat(pieces).toString('latin1')
    assert.match(text, /\r\n\r\nnot in chunks$/)
    assert.ok(!/transfer-encoding/i.test(text))
  })
})

describe('lists of which node:http2 takes one field only', () => {
  const LISTS = 'Content-Language: de\r\nContent-Language: en\r\n'

  test('reach an HTTP/2 client whole', async (context) => {
    const origin = await startOrigin(context, { protocol: 'raw' })
    const gateway = await startGateway(context, { origin })
    const { session } = await gateway.openHttp2()
    const raw = `HTTP/1.1 200 OK\r\n${LISTS}Content-Encoding: x-a\r\nContent-Encoding: x-b\r\nContent-Length: 0\r\n\r\n`
    const seen = origin.nextConnection().then((connection) => answering(connection, raw))
    const { headers } = await ask(session, {})
    await seen
    assert.deepEqual([headers['content-language'], headers['content-encoding']], ['de, en', 'x-a, x-b'])
    session.close()
  })

  test('reach an HTTP/2 origin whole', async (context) => {
    const gateway = await startGateway(context, { origin: { protocol: 'http2' } })
    const { socket } = await gateway.connect(HOST, { protocols: ['h2'] })
    socket.destroy()
    const { session } = await gateway.openHttp2()
    await ask(session, { 'if-none-match': '"a", "b"', 'content-language': 'de, en' })
    const { rawHeaders } = gateway.origin.requests.at(-1) as { rawHeaders: readonly string[] }
    assert.equal(rawHeaders[rawHeaders.indexOf('if-none-match') + 1], '"a", "b"')
    session.close()
  })
})

describe('an HTTP/2 client', () => {
  test('may name its host by Host alone', async (context) => {
    const gateway = await startGateway(context)
    const { socket } = await gateway.connect(HOST, { protocols: ['h2'] })
    const fields = encodeFields([
      [':method', 'GET'],
      [':scheme', 'https'],
      [':path', '/'],
      ['host', HOST],
    ])
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
    socket.write(encodeFrame(FRAME.settings, 0, 0))
    socket.write(encodeFrame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, 1, fields))
    const record = await gateway.nextRecord()
    assert.ok(record.mode === 'intercept' && record.status === 200)
    socket.destroy()
  })

  test('gets a status above 599, which HTTP/2 libraries do not send, as the error of a server that it means', async (context) => {
    const origin = await startOrigin(context, { protocol: 'raw' })
    const gateway = await startGateway(context, { origin })
    const { session } = await gateway.openHttp2()
    const raw = 'HTTP/1.1 999 Denied\r\nContent-Length: 2\r\n\r\nno'
    const seen = origin.nextConnection().then((connection) => answering(connection, raw))
    const { status, text, resetCode } = await ask(session, {})
    await seen
    assert.deepEqual([status, text, resetCode], [502, 'no', 0])
    session.close()
  })

  test('gets a head of 100 KiB', async (context) => {
    const origin = await startOrigin(context, { protocol: 'raw' })
    const gateway = await startGateway(context, { origin })
    const { session } = await gateway.openHttp2()
    const long = Array.from({ length: 25 }, (_, index) => `X-Long-${index}: ${'x'.repeat(4_096)}\r\n`).join('')
    const raw = `HTTP/1.1 200 OK\r\n${long}Content-Length: 0\r\n\r\n`
    const seen = origin.nextConnection().then((connection) => answering(connection, raw))
    const { headers } = await ask(session, {})
    await seen
    assert.equal(String(headers['x-long-24']).length, 4_096)
    session.close()
  })
})

describe('an answer whose HTTP/1.1 origin closes the connection right after it reaches a client that reads slowly whole', () => {
  const LONG = 'x'.repeat(480_000)
  for (const [title, answer] of [
    ['with its length', `HTTP/1.1 200 OK\r\nContent-Length: ${LONG.length}\r\n\r\n${LONG}`],
    ['in chunks', `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${inChunks(LONG)}`],
    ['until the close', `HTTP/1.1 200 OK\r\n\r\n${LONG}`],
  ] as const) {
    test(title, async (context) => {
      const origin = await startOrigin(context, { protocol: 'raw' })
      const gateway = await startGateway(context, { origin })
      const { session } = await gateway.openHttp2()
      const stream = session.request({ ':path': '/' })
      const connection = await origin.nextConnection()
      await connection.takeUntil('\r\n\r\n')
      connection.write(answer)
      connection.socket.end()
      let bytes = 0
      for await (const piece of stream) {
        bytes += (piece as Buffer).length
        await nextTurn()
      }
      assert.deepEqual([bytes, stream.rstCode], [LONG.length, 0])
      const record = await gateway.nextRecord()
      assert.ok(record.mode === 'intercept' && record.error === undefined)
      session.close()
    })
  }
})

describe('an answer before the whole request', () => {
  test('says that the connection closes, and its origin is asked nothing more on that connection', async (context) => {
    const origin = await startOrigin(context, { protocol: 'raw' })
    const gateway = await startGateway(context, { origin })
    const client = await gateway.openHttp1()
    client.write(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 100000\r\n\r\nonly a part`)
    const connection = await origin.nextConnection()
    await connection.takeUntil('only a part')
    connection.write('HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno')
    const answer = await client.answer()
    assert.deepEqual([answer.status, answer.body, answer.fields.get('connection')], [413, 'no', ['close']])
    assert.equal(await client.rest(), '')
    await connection.ended
    const record = await gateway.nextRecord()
    assert.ok(record.mode === 'intercept' && record.status === 413 && record.error === undefined)
  })

  /** What reads to the end, and what knows by itself how much there is. */
  const READERS: readonly (readonly [title: string, handler: RequestListener])[] = [
    ['to its end', (request, response) => void request.resume().on('end', () => response.end('ok'))],
    [
      'but its end',
      (request, response) => {
        let bytes = 0
        request.on('data', (piece: Buffer) => {
          bytes += piece.length
          if (bytes === UPLOAD.length) response.end('ok')
        })
      },
    ],
  ]

  for (const [title, handler] of READERS) {
    for (const [framing, fields, body] of [
      ['with its length', `Content-Length: ${UPLOAD.length}`, UPLOAD],
      ['in chunks', 'Transfer-Encoding: chunked', inChunks(UPLOAD)],
    ] as const) {
      test(`does not say so when the origin had read all of a large upload ${framing} ${title}`, async (context) => {
        const gateway = await startGateway(context, { origin: { handler } })
        const client = await gateway.openHttp1()
        for (let count = 0; count < 5; count++) {
          const answer = await client.ask(`POST / HTTP/1.1\r\nHost: ${HOST}\r\n${fields}\r\n\r\n${body}`)
          assert.deepEqual([answer.status, answer.fields.get('connection')], [200, undefined])
        }
      })
    }
  }
})

function inChunks(body: string): string {
  return `${body.replace(/.{1,16000}/g, (piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`)}0\r\n\r\n`
}
