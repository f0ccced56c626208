// The first bytes that a gateway sends: a status line of HTTP/1, or not.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type AnswerVerdict, GatewayAnswerParser } from '#src/protocol/gateway-answer.js'

function parse(pieces: Iterable<Uint8Array>): { kind: string; status?: number; bytes?: string } {
  const parser = new GatewayAnswerParser()
  const behind: Uint8Array[] = []
  let verdict: AnswerVerdict = { kind: 'incomplete' }
  for (const piece of pieces) {
    if (verdict.kind === 'incomplete') verdict = parser.push(piece)
    else behind.push(piece)
  }
  if (verdict.kind !== 'status') return { kind: verdict.kind }
  return {
    kind: 'status',
    status: verdict.status,
    bytes: Buffer.concat([verdict.bytes, ...behind]).toString('latin1'),
  }
}

function everyPattern(text: string, expected: object): void {
  const bytes = Buffer.from(text, 'latin1')
  assert.deepEqual(parse([bytes]), expected, 'whole')
  assert.deepEqual(parse(Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))), expected, 'byte by byte')
  for (let at = 0; at <= bytes.length; at++) {
    assert.deepEqual(parse([bytes.subarray(0, at), bytes.subarray(at)]), expected, `split at ${at}`)
  }
}

describe('GatewayAnswerParser', () => {
  const ANSWERS: ReadonlyArray<readonly [text: string, status: number]> = [
    ['HTTP/1.1 200 Connection established\r\n\r\n', 200],
    ['HTTP/1.0 200 OK\r\n\r\nbytes of the tunnel', 200],
    ['HTTP/1.1 200\r\n\r\n', 200],
    ['HTTP/1.1 200 ', 200],
    ['HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno', 403],
    ['HTTP/1.1 204 No Content\r\n\r\n', 204],
    ['HTTP/1.1 100 Continue\r\n\r\n', 100],
    ['HTTP/1.1 999 \xff\0', 999],
  ]
  for (const [text, status] of ANSWERS) {
    test(`reads ${status} from ${JSON.stringify(text)} and keeps every byte`, () => {
      everyPattern(text, { kind: 'status', status, bytes: text })
    })
  }

  const OTHERS = [
    'HTTP/2 200 OK\r\n',
    'HTTP/1.2 200 OK\r\n',
    'HTTP/1.1  200 OK\r\n',
    'HTTP/1.1 000 OK\r\n',
    'HTTP/1.1 2x0 OK\r\n',
    'HTTP/1.1 2000 OK\r\n',
    'http/1.1 200 OK\r\n',
    '\r\nHTTP/1.1 200 OK\r\n',
    ' HTTP/1.1 200 OK\r\n',
    '\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03\x00\x00',
    '<html><body>200</body></html>',
    'x',
  ]
  for (const text of OTHERS) {
    test(`takes ${JSON.stringify(text)} for no HTTP`, () => everyPattern(text, { kind: 'not-http' }))
  }

  test('says that it is no HTTP at the first byte that shows it', () => {
    assert.deepEqual(parse([Buffer.from('HTTP/1.1 2')]), { kind: 'incomplete' })
    assert.deepEqual(parse([Buffer.from('HTTP/1.1 x')]), { kind: 'not-http' })
    assert.deepEqual(parse([Buffer.from('HTTP/1.1 0')]), { kind: 'not-http' })
  })

  test('waits for the twelfth byte', () => {
    const bytes = Buffer.from('HTTP/1.1 200')
    for (let length = 0; length < bytes.length; length++) {
      assert.deepEqual(parse([bytes.subarray(0, length)]), { kind: 'incomplete' }, `${length} bytes`)
    }
  })
})
