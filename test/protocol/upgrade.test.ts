// The opening handshake of a WebSocket client: what is asked, and which answers open a WebSocket.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  createUpgradeKey,
  encodeUpgradeRequest,
  UpgradeAnswerParser,
  type UpgradeVerdict,
} from '#src/protocol/upgrade.js'

/** Key and answer of the example in RFC 6455, section 1.3. */
const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
const ACCEPT = 'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n'
const SWITCHING = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
const OPENING = `${SWITCHING}${ACCEPT}\r\n`

/** The first verdict that is one; `rest` with the pieces behind it. */
function parse(pieces: readonly Uint8Array[]): object {
  const parser = new UpgradeAnswerParser(KEY)
  for (const [index, piece] of pieces.entries()) {
    const verdict: UpgradeVerdict = parser.push(piece)
    if (verdict.kind === 'incomplete') continue
    if (verdict.kind !== 'open') return verdict
    return { kind: 'open', rest: Buffer.concat([verdict.rest, ...pieces.slice(index + 1)]).toString('latin1') }
  }
  return { kind: 'incomplete' }
}

function everyPattern(text: string, expected: object): void {
  const bytes = Buffer.from(text, 'latin1')
  assert.deepEqual(parse([bytes]), expected, 'whole')
  assert.deepEqual(parse(Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))), expected, 'byte by byte')
  for (let at = 0; at <= bytes.length; at++) {
    assert.deepEqual(parse([bytes.subarray(0, at), bytes.subarray(at)]), expected, `split at ${at}`)
  }
}

describe('encodeUpgradeRequest()', () => {
  test('asks for a WebSocket and nothing besides', () => {
    const headers = { Authorization: 'Bearer t', 'Content-Type': 'application/proto' }
    assert.equal(
      encodeUpgradeRequest(new URL('wss://gw.example:8443/a/ws?b=c'), headers, KEY).toString('latin1'),
      'GET /a/ws?b=c HTTP/1.1\r\nHost: gw.example:8443\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        `Sec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n` +
        'Authorization: Bearer t\r\nContent-Type: application/proto\r\n\r\n',
    )
  })

  test('names an IPv6 address in brackets, and no default port', () => {
    const request = encodeUpgradeRequest(new URL('wss://[::1]:443/'), {}, KEY).toString('latin1')
    assert.ok(request.startsWith('GET / HTTP/1.1\r\nHost: [::1]\r\n'))
  })

  for (const value of ['a\r\nX: y', 'a\nb', 'a\rb', 'a\0b', 'ä']) {
    test(`refuses a header of ${JSON.stringify(value)}`, () => {
      assert.throws(() => encodeUpgradeRequest(new URL('wss://h/'), { 'X-A': value }, KEY), RangeError)
    })
  }
})

test('a key is 16 random bytes', () => {
  const keys = Array.from({ length: 100 }, createUpgradeKey)
  for (const key of keys) assert.equal(Buffer.from(key, 'base64').length, 16)
  assert.equal(new Set(keys).size, keys.length)
})

describe('UpgradeAnswerParser', () => {
  const OPEN: ReadonlyArray<readonly [title: string, answer: string]> = [
    ['the usual answer', OPENING],
    ['names and values in other cases', OPENING.replace('Upgrade: websocket', 'UPGRADE:WebSocket')],
    ['a list in Connection', OPENING.replace('Connection: Upgrade', 'connection: keep-alive , upgrade')],
    ['Connection in two lines', OPENING.replace('Connection: Upgrade', 'Connection: x\r\nConnection: Upgrade')],
    ['no reason phrase', OPENING.replace(' Switching Protocols', '')],
    ['other fields', OPENING.replace('\r\n\r\n', '\r\nServer: x\r\nX-Empty:\r\n\r\n')],
  ]
  for (const [title, answer] of OPEN) {
    test(`${title}: open, and what stands behind it are frames`, () => {
      everyPattern(answer, { kind: 'open', rest: '' })
      everyPattern(`${answer}\x82\x00`, { kind: 'open', rest: '\x82\x00' })
    })
  }

  const FAULTS: ReadonlyArray<readonly [detail: string, answer: string]> = [
    ['a wrong Sec-WebSocket-Accept', `${SWITCHING}\r\n`],
    ['a wrong Sec-WebSocket-Accept', `${SWITCHING}Sec-WebSocket-Accept: AAAA\r\n\r\n`],
    ['a wrong Sec-WebSocket-Accept', `${SWITCHING}${ACCEPT}${ACCEPT}\r\n`],
    ['a wrong Sec-WebSocket-Accept', `${SWITCHING}${ACCEPT.toLowerCase()}\r\n`],
    ['an Upgrade other than websocket', OPENING.replace('Upgrade: websocket\r\n', '')],
    ['an Upgrade other than websocket', OPENING.replace('websocket', 'h2c')],
    ['a Connection without Upgrade', OPENING.replace('Connection: Upgrade\r\n', '')],
    ['a Connection without Upgrade', OPENING.replace('Connection: Upgrade', 'Connection: upgraded')],
    [
      'an extension that was not asked for',
      OPENING.replace('\r\n\r\n', '\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n'),
    ],
    ['a subprotocol that was not asked for', OPENING.replace('\r\n\r\n', '\r\nSec-WebSocket-Protocol: x\r\n\r\n')],
    ...['\0', 'a\0b', '\x1b[2J', 'a\nb', '\x7f'].map(
      (value) => ['a line that is no field', OPENING.replace('\r\n\r\n', `\r\nX: ${value}\r\n\r\n`)] as const,
    ),
    ['a line that is no field', OPENING.replace('\r\n\r\n', '\r\n folded\r\n\r\n')],
    ['a line that is no field', 'HTTP/1.1 101 Switching Protocols\r\n\r\n'],
  ]
  for (const [detail, answer] of FAULTS) {
    test(`${JSON.stringify(answer.slice(34))}: ${detail}`, () => {
      everyPattern(answer, { kind: 'not-websocket', detail })
    })
  }

  for (const status of [429, 503]) {
    test(`${status} is a refusal with its Retry-After, or without where it ends before`, () => {
      everyPattern(`HTTP/1.1 ${status} Whatever\r\nA: b\r\nretry-after:  7 \r\n\r\nbody`, {
        kind: 'refused',
        status,
        retryAfter: '7',
      })
      everyPattern(`HTTP/1.1 ${status} Whatever\r\nA: b\r\n\r\n`, { kind: 'refused', status })
      everyPattern(`HTTP/1.1 ${status} Whatever\r\nRetry-After: 7\r\n folded\r\n\r\n`, { kind: 'refused', status })
      const parser = new UpgradeAnswerParser(KEY)
      assert.deepEqual(parser.push(Buffer.from(`HTTP/1.1 ${status} Whatever\r\nRetry-`)), { kind: 'incomplete' })
      assert.deepEqual(parser.end(), { kind: 'refused', status })
    })
  }

  test('an answer that ends before it says anything, or within a 101, is no HTTP', () => {
    for (const text of ['', 'HTTP/1.1 50', OPENING.slice(0, -2)]) {
      const parser = new UpgradeAnswerParser(KEY)
      parser.push(Buffer.from(text))
      assert.deepEqual(parser.end(), { kind: 'not-http' })
    }
  })

  for (const status of [200, 204, 302, 401, 403, 500, 999]) {
    test(`${status} is a refusal as soon as its line has come`, () => {
      everyPattern(`HTTP/1.1 ${status} Whatever\r\n`, { kind: 'refused', status })
      everyPattern(`HTTP/1.0 ${status}\r\nA: b\r\n\r\n`, { kind: 'refused', status })
    })
  }

  for (const text of [
    'hello\r\n\r\n',
    'HTTP/2 101 x\r\n',
    'HTTP/1.1 101 a\0b\r\n',
    'HTTP/1.1 100 Continue\r\n\r\nhello\r\n',
    'HTTP/1.1 1010 x\r\n',
    'http/1.1 101 x\r\n',
    '\r\n\r\n',
    '\x82\x00',
  ]) {
    test(`${JSON.stringify(text)} is no HTTP`, () => everyPattern(text, { kind: 'not-http' }))
  }

  test('interim answers before it are skipped', () => {
    const interim = 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'
    everyPattern(`HTTP/1.1 100 Continue\r\n\r\n${interim}${OPENING}\x82`, { kind: 'open', rest: '\x82' })
    everyPattern(`${interim}HTTP/1.1 401 No\r\n\r\n`, { kind: 'refused', status: 401 })
    const parser = new UpgradeAnswerParser(KEY)
    assert.deepEqual(parser.push(Buffer.from(interim)), { kind: 'incomplete' })
    assert.deepEqual(parser.end(), { kind: 'not-http' })
  })

  test('a head of more than 16 KiB is refused, also when it comes whole and with the interim answers before it', () => {
    const answerOf = (length: number): Buffer => {
      const fieldBytes = length - OPENING.length - 'X: \r\n'.length
      return Buffer.from(OPENING.replace('\r\n\r\n', `\r\nX: ${'x'.repeat(fieldBytes)}\r\n\r\n`))
    }
    assert.deepEqual(parse([answerOf(16_384)]), { kind: 'open', rest: '' })
    assert.deepEqual(parse([answerOf(16_385)]), { kind: 'not-http' })
    const interim = Buffer.from('HTTP/1.1 102 x\r\n\r\n')
    assert.deepEqual(parse([interim, answerOf(16_384)]), { kind: 'not-http' })
    assert.deepEqual(parse([Buffer.concat(Array.from({ length: 1_000 }, () => interim))]), { kind: 'not-http' })
  })

  test('whatever is cut off is incomplete', () => {
    for (let length = 0; length < OPENING.length; length++) {
      assert.deepEqual(parse([Buffer.from(OPENING.slice(0, length))]), { kind: 'incomplete' }, `${length} bytes`)
    }
  })

  test('a head without end is given up at 16 KiB', () => {
    const begun = `${SWITCHING}X: `
    const fill = (length: number): Buffer => Buffer.from(begun.padEnd(length, 'x'))
    for (const length of [16_383, 16_384]) assert.deepEqual(parse([fill(length)]), { kind: 'incomplete' })
    assert.deepEqual(parse([fill(16_385)]), { kind: 'not-http' })
    const line = Buffer.from('HTTP/1.1 101 '.padEnd(16_385, 'x'))
    assert.deepEqual(parse([line]), { kind: 'not-http' })
  })
})
