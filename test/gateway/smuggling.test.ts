// Requests that two parsers could read in two ways, in the manner of Http11Probe: each is refused and the connection
// closed, or the origin sees exactly one request, and never the one that was hidden.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { SeenRequest } from '../support/origin.js'
import { startGateway, type TestGateway } from './fixture.js'
import { readAll } from './wire-client.js'

const HOST = 'Host: api.example.com\r\n'
const HIDDEN = `GET /hidden HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`
const post = (fields: string, body: string) => `POST / HTTP/1.1\r\n${HOST}${fields}\r\n\r\n${body}`
const get = (fields: string) => `GET / HTTP/1.1\r\n${HOST}${fields}\r\n${HIDDEN}`
const chunks = (body: string) => post('Transfer-Encoding: chunked', body + HIDDEN)
const line = (text: string) => `${text}\r\n${HOST}\r\n${HIDDEN}`

/** What is refused, and with which status. */
const REFUSED: readonly (readonly [title: string, raw: string, status?: number])[] = [
  ['CL.TE', post('Content-Length: 5\r\nTransfer-Encoding: chunked', `0\r\n\r\n${HIDDEN}`)],
  ['TE.CL', post('Transfer-Encoding: chunked\r\nContent-Length: 5', `0\r\n\r\n${HIDDEN}`)],
  ['two different lengths', post('Content-Length: 5\r\nContent-Length: 6', `hello${HIDDEN}`)],
  ['two equal lengths', post('Content-Length: 5\r\nContent-Length: 5', `hello${HIDDEN}`)],
  ['a list of equal lengths', post('Content-Length: 5, 5', `hello${HIDDEN}`)],
  ['a list of lengths', post('Content-Length: 5, 6', `hello${HIDDEN}`)],
  ['a negative length', post('Content-Length: -1', HIDDEN)],
  ['a length with a plus sign', post('Content-Length: +5', `hello${HIDDEN}`)],
  ['a hexadecimal length', post('Content-Length: 0x5', `hello${HIDDEN}`)],
  ['a length with a blank inside', post('Content-Length: 5 5', `hello${HIDDEN}`)],
  ['an empty length', post('Content-Length: ', HIDDEN)],
  ['a length beyond 64 bits', post('Content-Length: 99999999999999999999', HIDDEN)],
  ['a length beyond 53 bits', post('Content-Length: 9007199254740993', HIDDEN)],
  ['a fractional length', post('Content-Length: 5.0', `hello${HIDDEN}`)],
  ['a length with a semicolon', post('Content-Length: 5;', `hello${HIDDEN}`)],
  ['an unknown coding', post('Transfer-Encoding: xchunked', `0\r\n\r\n${HIDDEN}`)],
  ['chunked twice in one field', post('Transfer-Encoding: chunked, chunked', `0\r\n\r\n${HIDDEN}`)],
  ['chunked in two fields', post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', `0\r\n\r\n${HIDDEN}`)],
  ['chunked before another coding', post('Transfer-Encoding: chunked, identity', `0\r\n\r\n${HIDDEN}`)],
  ['another coding before chunked', post('Transfer-Encoding: gzip, chunked', `0\r\n\r\n${HIDDEN}`)],
  ['identity', post('Transfer-Encoding: identity', HIDDEN)],
  ['the coding with an underscore', post('Transfer_Encoding: chunked\r\nContent-Length: 5', `hello${HIDDEN}`)],
  ['the coding with a dot', post('transfer.encoding: chunked\r\nContent-Length: 5', `hello${HIDDEN}`)],
  ['the coding with an underscore and no body', get('TRANSFER_ENCODING: chunked\r\n')],
  ['a second length with an underscore', post('Content-Length: 5\r\nContent_Length: 0', `hello${HIDDEN}`)],
  ['a length with an underscore only', post('Content_Length: 5', `hello${HIDDEN}`)],
  ['an empty coding', post('Transfer-Encoding: ', HIDDEN)],
  ['chunked with a parameter', post('Transfer-Encoding: chunked;q=1', `0\r\n\r\n${HIDDEN}`)],
  ['chunked behind a vertical tab', post('Transfer-Encoding: \x0bchunked', `0\r\n\r\n${HIDDEN}`)],
  ['chunked in quotes', post('Transfer-Encoding: "chunked"', `0\r\n\r\n${HIDDEN}`)],
  ['chunked in HTTP/1.0', `POST / HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n${HIDDEN}`],
  ['a blank before the colon', post('Transfer-Encoding : chunked', `0\r\n\r\n${HIDDEN}`)],
  ['a folded coding', post('Transfer-Encoding:\r\n chunked', `0\r\n\r\n${HIDDEN}`)],
  ['a folded field', get('A: b\r\n c\r\n')],
  ['a folded first field', `GET / HTTP/1.1\r\n X: y\r\n${HOST}\r\n${HIDDEN}`],
  ['bare LF in the head', `GET / HTTP/1.1\nHost: api.example.com\n\n${HIDDEN}`],
  ['bare CR in a value', get('A: b\rTransfer-Encoding: chunked\r\n')],
  ['NUL in a value', get('A: b\0c\r\n')],
  ['NUL in a name', get('A\0: b\r\n')],
  ['a line without a colon', get('Foo\r\n')],
  ['an empty name', get(': x\r\n')],
  ['a blank in a name', get('A B: c\r\n')],
  ['a chunk size with 0x', chunks('0x5\r\nhello\r\n0\r\n\r\n')],
  ['a chunk size with a plus sign', chunks('+5\r\nhello\r\n0\r\n\r\n')],
  ['a negative chunk size', chunks('-1\r\nhello\r\n0\r\n\r\n')],
  ['a chunk size beyond 64 bits', chunks('10000000000000005\r\nhello\r\n0\r\n\r\n')],
  ['a chunk size with an underscore', chunks('0_5\r\nhello\r\n0\r\n\r\n')],
  ['an empty chunk size', chunks('\r\nhello\r\n0\r\n\r\n')],
  ['a blank before the chunk size', chunks(' 5\r\nhello\r\n0\r\n\r\n')],
  ['a chunk size that ends with LF', chunks('5\nhello\r\n0\r\n\r\n')],
  ['a chunk extension with LF', chunks('5;a\nhello\r\n0\r\n\r\n')],
  ['a chunk extension with CR', chunks('5;a\rb\r\nhello\r\n0\r\n\r\n')],
  ['a chunk longer than its size', chunks('5\r\nhello!\r\n0\r\n\r\n')],
  ['a chunk that ends with LF', chunks('5\r\nhello\n0\r\n\r\n')],
  ['a last chunk that is no number', chunks('5\r\nhello\r\nz\r\n\r\n')],
  ['a trailer without a colon', chunks('5\r\nhello\r\n0\r\nfoo\r\n\r\n')],
  ['HTTP/0.9', `GET /\r\n\r\n${HIDDEN}`],
  ['HTTP/1.2', line('GET / HTTP/1.2'), 505],
  ['HTTP/2.0', line('GET / HTTP/2.0'), 505],
  ['a version in lower case', line('GET / http/1.1')],
  ['a version without a dot', line('GET / HTTP/11')],
  ['a tab in the request line', line('GET\t/ HTTP/1.1')],
  ['no target', line('GET HTTP/1.1')],
  ['a blank in the target', line('GET /a b HTTP/1.1')],
  ['a fragment', line('GET /#/../hidden HTTP/1.1')],
  ['NUL in the target', line('GET /\0 HTTP/1.1')],
  ['bytes beyond ASCII in the target', line('GET /\xff HTTP/1.1')],
  ['the absolute form', line('GET https://api.example.com/ HTTP/1.1')],
  ['the absolute form of another scheme', line('GET http://169.254.169.254/ HTTP/1.1')],
  ['the authority form', line('GET api.example.com:443 HTTP/1.1')],
  ['the asterisk form of a GET', line('GET * HTTP/1.1')],
  ['a target without a slash', line('GET hidden HTTP/1.1')],
  ['no Host', `GET / HTTP/1.1\r\n\r\n${HIDDEN}`],
  ['two Host fields', get(HOST)],
  ['a method in lower case', line('get / HTTP/1.1'), 405],
  ['the HTTP/2 preface', `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${HIDDEN}`, 505],
  ['a TLS hello', `\x16\x03\x01\x02\x00\x01${HIDDEN}`],
]

/** What is one request to every parser. */
const SINGLE: readonly (readonly [title: string, raw: string, bodyBytes: number])[] = [
  [
    'a body on a GET',
    `GET / HTTP/1.1\r\n${HOST}Connection: close\r\nContent-Length: ${HIDDEN.length}\r\n\r\n${HIDDEN}`,
    HIDDEN.length,
  ],
  [
    'a chunked GET',
    `GET / HTTP/1.1\r\n${HOST}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
    5,
  ],
  ['Connection that names Content-Length', post('Connection: close, content-length\r\nContent-Length: 5', 'hello'), 5],
  [
    'Connection that names Transfer-Encoding',
    post('Connection: close, transfer-encoding\r\nTransfer-Encoding: chunked', '5\r\nhello\r\n0\r\n\r\n'),
    5,
  ],
  ['a length with leading zeros', post('Connection: close\r\nContent-Length: 0005', 'hello'), 5],
  [
    'routing and a credential in the trailers',
    post(
      'Connection: close\r\nTransfer-Encoding: chunked',
      '5\r\nhello\r\n0\r\nHost: evil.example\r\nAuthorization: mine\r\n\r\n',
    ),
    5,
  ],
  [
    'a length in the trailers',
    post('Connection: close\r\nTransfer-Encoding: chunked', `5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n${HIDDEN}`),
    5,
  ],
  ['a chunk extension', post('Connection: close\r\nTransfer-Encoding: chunked', '5;a=b\r\nhello\r\n0\r\n\r\n'), 5],
  ['CHUNKED', post('Connection: close\r\nTransfer-Encoding: CHUNKED', '5\r\nhello\r\n0\r\n\r\n'), 5],
  ['empty lines before it', `\r\n\r\nGET / HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`, 0],
  ['Expect and a body at once', post('Connection: close\r\nExpect: 100-continue\r\nContent-Length: 5', 'hello'), 5],
]

async function exchange(gateway: TestGateway, raw: string): Promise<string> {
  const { socket, stream } = await gateway.connect()
  socket.write(raw, 'latin1')
  const answer = (await readAll(socket)).toString('latin1')
  await stream.closeCode
  return answer
}

test(`${REFUSED.length} ambiguous or malformed requests are each answered once and the connection closed`, async (context) => {
  const gateway = await startGateway(context)
  const failures: string[] = []
  for (const [title, raw, status = 400] of REFUSED) {
    const answer = await exchange(gateway, raw)
    const answers = answer.match(/HTTP\/1\.1 \d{3} /g) ?? []
    if (answers.join() !== `HTTP/1.1 ${status} `) failures.push(`${title}: ${JSON.stringify(answers)}`)
    if (!answer.includes('Proxy-Status: ccr-upstream-gateway; error=')) failures.push(`${title}: not by the gateway`)
  }
  assert.ok(failures.length === 0, failures.join('\n'))
  // Of a broken body the origin may have got the beginning; the end never comes.
  const isWhole = ({ isAborted }: SeenRequest) => !isAborted
  while (gateway.origin.requests.some(isWhole)) await nextTurn()
})

test('what has one reading is one request at the origin, with its whole body', async (context) => {
  const gateway = await startGateway(context)
  for (const [title, raw, bodyBytes] of SINGLE) {
    const before = gateway.origin.requests.length
    const answer = await exchange(gateway, raw)
    assert.match(answer, /^HTTP\/1\.1 (?:200|417) /, title)
    if (!answer.includes('417')) assert.match(answer, new RegExp(`"bytes":${bodyBytes}[,}]`), title)
    const seen = gateway.origin.requests.slice(before)
    assert.deepEqual(
      seen.map(({ path }) => path),
      ['/'],
      title,
    )
  }
})

test('a refusal in the middle of a pipeline comes after the answers before it, and ends it', async (context) => {
  const gateway = await startGateway(context)
  const first = `GET /first HTTP/1.1\r\n${HOST}\r\n`
  const { socket } = await gateway.connect()
  socket.write(first + post('Content-Length: 5\r\nTransfer-Encoding: chunked', `0\r\n\r\n${HIDDEN}`), 'latin1')
  const answer = (await readAll(socket)).toString('latin1')
  assert.ok(!answer.includes('/hidden'))
  assert.ok(gateway.origin.requests.every(({ path }) => path === '/first'))
})
