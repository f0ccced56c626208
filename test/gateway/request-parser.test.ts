// Requests of HTTP/1.1 out of bytes: whole, in two pieces at each place, and byte by byte.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type BodyFraming, Http1RequestParser, type RequestEvent } from '#gateway/intercept/http1/request-parser.js'
import { Refusal } from '#gateway/refusal.js'
import '../support/watched-process.js'

/** Events as short texts, the pieces of a body joined; what is thrown as its code. */
function read(pieces: readonly Buffer[], framings: readonly BodyFraming[]): string[] {
  const parser = new Http1RequestParser()
  const left = [...framings]
  const seen: string[] = []
  const take = (event: RequestEvent) => {
    if (event.kind === 'head') {
      const { method, target, minorVersion, fields } = event.head
      seen.push(`${method} ${target} 1.${minorVersion} ${fields.join('|')}`)
      parser.readBody(left.shift() ?? 0)
    } else if (event.kind === 'end') seen.push(`end ${event.trailers.join('|')}`)
    else if (seen.at(-1)?.startsWith('data ')) seen[seen.length - 1] += event.bytes.toString('latin1')
    else seen.push(`data ${event.bytes.toString('latin1')}`)
  }
  try {
    for (const piece of pieces) {
      parser.push(piece)
      for (let event = parser.next(); event !== undefined; event = parser.next()) take(event)
    }
    if (parser.bufferedBytes > 0) seen.push(`left ${parser.bufferedBytes}`)
  } catch (error) {
    assert.ok(error instanceof Refusal)
    seen.push(error.code)
  }
  return seen
}

/** However the bytes come, what is read is the same. */
function assertRead(text: string, framings: readonly BodyFraming[], expected: readonly string[]): void {
  const bytes = Buffer.from(text, 'latin1')
  assert.deepEqual(read([bytes], framings), expected, 'whole')
  for (let at = 1; at < bytes.length; at++) {
    assert.deepEqual(read([bytes.subarray(0, at), bytes.subarray(at)], framings), expected, `in two at ${at}`)
  }
  assert.deepEqual(
    read(
      Array.from(bytes, (byte) => Buffer.of(byte)),
      framings,
    ),
    expected,
    'byte by byte',
  )
}

describe('what is a request', () => {
  test('a head without a body', () => {
    assertRead(
      'GET /a?b HTTP/1.1\r\nHost: x\r\nA:\r\nB:  c d \t\r\n\r\n',
      [0],
      ['GET /a?b 1.1 Host|x|A||B|c d', 'end '],
    )
  })

  test('any method that is a token, and HTTP/1.0', () => {
    assertRead('LIST /secret HTTP/1.0\r\n\r\n', [0], ['LIST /secret 1.0 ', 'end '])
    assertRead("M-SEARCH!'~ * HTTP/1.1\r\n\r\n", [0], ["M-SEARCH!'~ * 1.1 ", 'end '])
  })

  test('empty lines before it', () => {
    assertRead('\r\n\r\nGET / HTTP/1.1\r\n\r\n', [0], ['GET / 1.1 ', 'end '])
  })

  test('a value with bytes beyond ASCII, one byte a character', () => {
    assertRead('GET / HTTP/1.1\r\nA: \xe9\xff\r\n\r\n', [0], ['GET / 1.1 A|\xe9\xff', 'end '])
  })

  test('a body of a length, and the request after it', () => {
    const text = 'PUT / HTTP/1.1\r\n\r\nhelloGET /2 HTTP/1.1\r\n\r\n'
    assertRead(text, [5, 0], ['PUT / 1.1 ', 'data hello', 'end ', 'GET /2 1.1 ', 'end '])
  })

  test('a body in chunks, with extensions and trailers, and the request after it', () => {
    const text =
      'POST / HTTP/1.1\r\n\r\n5\r\nhello\r\n00A;x="y z"\r\n0123456789\r\n0\r\nT: 1\r\nU: 2\r\n\r\nGET /2 HTTP/1.1\r\n\r\n'
    const expected = ['POST / 1.1 ', 'data hello0123456789', 'end T|1|U|2', 'GET /2 1.1 ', 'end ']
    assertRead(text, ['chunked', 0], expected)
  })
})

describe('what is refused', () => {
  const refused: readonly (readonly [title: string, text: string, code?: string])[] = [
    ['bare LF', 'GET / HTTP/1.1\nHost: x\n\n\r\n\r\n'],
    ['LF before it', '\nGET / HTTP/1.1\r\n\r\n'],
    ['bare CR in a value', 'GET / HTTP/1.1\r\nA: b\rc\r\n\r\n'],
    ['NUL', 'GET / HTTP/1.1\r\nA: b\0\r\n\r\n'],
    ['a folded line', 'GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n'],
    ['a blank before the colon', 'GET / HTTP/1.1\r\nA : b\r\n\r\n'],
    ['two blanks in the request line', 'GET  / HTTP/1.1\r\n\r\n'],
    ['a tab in the request line', 'GET\t/ HTTP/1.1\r\n\r\n'],
    ['HTTP/0.9', 'GET /\r\n\r\n'],
    ['HTTP/1.2', 'GET / HTTP/1.2\r\n\r\n', 'http-version-unsupported'],
    ['the HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\n', 'http-version-unsupported'],
  ]
  for (const [title, text, code = 'bad-request'] of refused) {
    test(title, () => assertRead(text, [], [code]))
  }

  for (const [title, chunks] of [
    ['a size with 0x', '0x5\r\nhello\r\n'],
    ['a size with a blank before it', ' 5\r\nhello\r\n'],
    ['a size of 14 digits', '00000000000005\r\nhello\r\n'],
    ['a size that ends with LF', '5\nhello\r\n'],
    ['an extension with CR', '5;a\rb\r\nhello\r\n'],
    ['a chunk longer than its size', '5\r\nhello!\r\n'],
    ['a trailer without a colon', '0\r\nfoo\r\n\r\n'],
  ] as const) {
    test(`${title}, in chunks`, () => {
      const seen = read([Buffer.from(`POST / HTTP/1.1\r\n\r\n${chunks}`, 'latin1')], ['chunked'])
      assert.equal(seen.at(-1), 'bad-request')
      assert.ok(!seen.some((event) => event.startsWith('end')))
    })
  }
})

describe('limits', () => {
  const head = (bytes: number) => `GET / HTTP/1.1\r\nA: ${'a'.repeat(bytes - 'GET / HTTP/1.1\r\nA: '.length)}\r\n\r\n`

  test('a head of 32 KiB is read, one of a byte more is refused, also when its end never comes', () => {
    assert.equal(read([Buffer.from(head(32_768))], [0]).at(-1), 'end ')
    assert.equal(read([Buffer.from(head(32_769))], [0]).at(-1), 'head-too-large')
    assert.equal(read([Buffer.from('GET / HTTP/1.1\r\nA: '), Buffer.alloc(32_768, 'a')], [0]).at(-1), 'head-too-large')
  })

  test('trailers have the same limit, a size line has 256 bytes', () => {
    const chunked = (text: string) => read([Buffer.from(`POST / HTTP/1.1\r\n\r\n${text}`)], ['chunked']).at(-1)
    assert.equal(chunked(`0\r\nA: ${'a'.repeat(40_000)}\r\n\r\n`), 'head-too-large')
    assert.equal(chunked(`1;${'a'.repeat(254)}\r\nx\r\n0\r\n\r\n`), 'end ')
    assert.equal(chunked(`1;${'a'.repeat(255)}\r\nx\r\n0\r\n\r\n`), 'bad-request')
    assert.equal(chunked('1'.repeat(300)), 'bad-request')
  })

  test('what was not asked for stays: a second request waits, and can be taken out as it is', () => {
    const parser = new Http1RequestParser()
    parser.push(Buffer.from('GET / HTTP/1.1\r\n\r\nrest of another protocol'))
    assert.equal(parser.next()?.kind, 'head')
    assert.equal(parser.next(), undefined)
    assert.equal(parser.takeRest().toString(), 'rest of another protocol')
    assert.equal(parser.bufferedBytes, 0)
  })

  test('when only the end of a body is left is known, and never while there are bytes of it', () => {
    for (const [framing, text, isOver] of [
      [5, 'hello', true],
      [6, 'hello', false],
      ['chunked', '5\r\nhello', false],
      ['chunked', '5\r\nhello\r\n0', false],
      ['chunked', '5\r\nhello\r\n0\r\n', true],
      ['chunked', '5\r\nhello\r\n000;x="y"\r\nT: 1\r\n\r\n', true],
      ['chunked', '5\r\nhello\r\n01\r\nx\r\n0\r\n\r\n', false],
      ['chunked', '0\r\n\r\n', true],
    ] as const) {
      const parser = new Http1RequestParser()
      parser.push(Buffer.from(`POST / HTTP/1.1\r\n\r\n${text}`))
      parser.next()
      assert.equal(parser.isBodyOver, false)
      parser.readBody(framing)
      if (text !== '0\r\n\r\n') assert.equal(parser.next()?.kind, 'data')
      assert.equal(parser.isBodyOver, isOver, text)
      if (isOver) assert.notEqual(parser.next()?.kind, 'data', text)
    }
  })
})
