// The parser of CONNECT heads: the whole table in three write patterns, the limits, and what holds for any input.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { formatAuthority, parseAuthority } from '#src/protocol/authority.js'
import { ConnectHeadParser, encodeConnectHead, type HeadVerdict } from '#src/protocol/connect-head.js'
import { CONNECT_VECTORS, type ConnectVector, connectHead } from '../support/connect-vectors.js'

const IS_LARGE = process.env.CCR_TEST_LARGE === '1'

/** What a parser made of a connection's bytes, however they came. */
type Outcome =
  | { kind: 'incomplete' }
  | { kind: 'refused'; refusal: string }
  | { kind: 'complete'; target: string; proxyAuthorization: string | undefined; rest: string }

/** Feeds `pieces` until there is a verdict; what comes behind it belongs to the rest. */
function parse(pieces: Iterable<Uint8Array>, parser = new ConnectHeadParser()): Outcome {
  let verdict: HeadVerdict = { kind: 'incomplete' }
  const behind: Uint8Array[] = []
  for (const piece of pieces) {
    if (verdict.kind === 'incomplete') verdict = parser.push(piece)
    else behind.push(piece)
  }
  if (verdict.kind === 'incomplete') return verdict
  if (verdict.kind === 'refused') return { kind: 'refused', refusal: verdict.refusal }
  const { authority, proxyAuthorization } = verdict
  const rest = Buffer.concat([verdict.rest, ...behind]).toString('latin1')
  return { kind: 'complete', target: formatAuthority(authority), proxyAuthorization, rest }
}

function* inPieces(bytes: Uint8Array, length: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length)
}

function assertOutcome(outcome: Outcome, vector: ConnectVector, pattern: string): void {
  if (vector.refusal !== undefined) {
    assert.deepEqual(outcome, { kind: 'refused', refusal: vector.refusal }, pattern)
    return
  }
  assert.ok(outcome.kind === 'complete', `${pattern}: ${JSON.stringify(outcome)}`)
  assert.equal(outcome.target, vector.target, pattern)
  assert.equal(outcome.rest, vector.rest?.toString('latin1'), pattern)
}

describe('ConnectHeadParser: the CONNECT table', () => {
  for (const vector of CONNECT_VECTORS) {
    const { title, bytes, refusal } = vector
    test(`${refusal === undefined ? 'accepts' : `answers ${refusal} to`} ${title}`, () => {
      assertOutcome(parse([bytes]), vector, 'whole')
      assertOutcome(parse(inPieces(bytes, 1)), vector, 'byte by byte')
      // A head of 16 KiB has 16,384 places to split it at; the ends and a sample of the middle stand for them.
      const step = IS_LARGE || bytes.length < 2_000 ? 1 : 251
      for (let at = 0; at <= bytes.length; at += step) {
        assertOutcome(parse([bytes.subarray(0, at), bytes.subarray(at)]), vector, `split at ${at}`)
      }
    })
  }
})

describe('ConnectHeadParser', () => {
  test('has no verdict before the last byte of a good head', () => {
    const head = Buffer.from(connectHead('h.example:443'))
    for (let length = 0; length < head.length; length++) {
      assert.deepEqual(parse([head.subarray(0, length)]), { kind: 'incomplete' }, `${length} bytes`)
    }
    assert.equal(parse([head]).kind, 'complete')
  })

  test('refuses a ClientHello at its first byte', () => {
    assert.equal(parse([Buffer.from('16', 'hex')]).kind, 'refused')
  })

  test('keeps to the limits that it is given', () => {
    const head = Buffer.from(connectHead('h.example:443', 'a: 1'))
    const limits = { maxHeadBytes: head.length, maxHeaders: 2 }
    assert.equal(parse([head], new ConnectHeadParser(limits)).kind, 'complete')
    const tooLarge = { kind: 'refused', refusal: 'head-too-large' }
    assert.deepEqual(parse([head], new ConnectHeadParser({ ...limits, maxHeadBytes: head.length - 1 })), tooLarge)
    assert.deepEqual(parse([head], new ConnectHeadParser({ ...limits, maxHeaders: 1 })), tooLarge)
  })

  test('hands the rest back as a view, and keeps nothing of what it was given', () => {
    const bytes = Buffer.from(`${connectHead('h.example:443')}rest`)
    const parser = new ConnectHeadParser()
    const first = Buffer.from(bytes.subarray(0, 10))
    assert.equal(parser.push(first).kind, 'incomplete')
    first.fill(0)
    const second = bytes.subarray(10)
    const verdict = parser.push(second)
    assert.ok(verdict.kind === 'complete')
    assert.equal(verdict.rest.buffer, second.buffer)
    assert.equal(Buffer.from(verdict.rest).toString(), 'rest')
  })

  test('gives back the value of Proxy-Authorization without the white space around it', () => {
    const outcome = parse([Buffer.from(connectHead('h.example:443', 'proxy-AUTHORIZATION: \t Basic eDp5 \t '))])
    assert.ok(outcome.kind === 'complete')
    assert.equal(outcome.proxyAuthorization, 'Basic eDp5')
  })
})

describe('encodeConnectHead', () => {
  test('writes target, Host and the credential, and nothing else', () => {
    const authority = parseAuthority('[2001:DB8::1]:8443')
    assert.ok(authority)
    assert.equal(
      Buffer.from(encodeConnectHead(authority, Buffer.from('Basic eDp5'))).toString('latin1'),
      'CONNECT [2001:db8::1]:8443 HTTP/1.1\r\nHost: [2001:db8::1]:8443\r\nProxy-Authorization: Basic eDp5\r\n\r\n',
    )
    assert.equal(
      Buffer.from(encodeConnectHead(authority, undefined)).toString('latin1'),
      'CONNECT [2001:db8::1]:8443 HTTP/1.1\r\nHost: [2001:db8::1]:8443\r\n\r\n',
    )
  })

  test('writes what the parser accepts', () => {
    for (const { target } of CONNECT_VECTORS) {
      const authority = target === undefined ? undefined : parseAuthority(target)
      if (authority === undefined) continue
      const outcome = parse([encodeConnectHead(authority, Buffer.from('Basic eDp5'))])
      assert.deepEqual(outcome, { kind: 'complete', target, proxyAuthorization: 'Basic eDp5', rest: '' })
    }
  })
})

describe('ConnectHeadParser: any input', () => {
  /** Texts near a head: rows of the table, with bytes changed, cut out, doubled and put in. */
  const nearHead = fc
    .tuple(
      fc.constantFrom(...CONNECT_VECTORS.filter(({ bytes }) => bytes.length < 1_000)),
      fc.array(fc.tuple(fc.nat(999), fc.constantFrom('set', 'cut', 'insert', 'double'), fc.nat(255)), { maxLength: 3 }),
    )
    .map(([{ bytes }, edits]) => {
      let text = bytes.toString('latin1')
      for (const [place, edit, value] of edits) {
        const at = place % (text.length + 1)
        const byte = String.fromCharCode(value)
        if (edit === 'set') text = text.slice(0, at) + byte + text.slice(at + 1)
        if (edit === 'cut') text = text.slice(0, at) + text.slice(at + 1 + (value & 3))
        if (edit === 'insert') text = text.slice(0, at) + byte + text.slice(at)
        if (edit === 'double') text = text.slice(0, at) + text.slice(Math.max(0, at - value))
      }
      return Buffer.from(text, 'latin1')
    })
  const lines = fc
    .array(
      fc.constantFrom(
        'CONNECT h.example:443 HTTP/1.1',
        'GET / HTTP/1.1',
        'Host: h',
        'A: b',
        ' folded',
        'Content-Length: 0',
        'Transfer-Encoding: x',
        '',
      ),
      { maxLength: 6 },
    )
    .map((list) => Buffer.from(list.map((line) => `${line}\r\n`).join('')))
  const input = fc.oneof(
    { weight: 4, arbitrary: nearHead },
    { weight: 2, arbitrary: lines },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)) },
  )
  const numRuns = IS_LARGE ? 300_000 : 5_000

  test('the verdict does not depend on how the bytes are cut', () => {
    fc.assert(
      fc.property(input, fc.array(fc.nat(1_200), { maxLength: 8 }), (bytes, cuts) => {
        const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
        const pieces = places.slice(1).map((end, index) => bytes.subarray(places[index], end))
        const whole = parse([bytes])
        assert.deepEqual(parse(pieces), whole)
        assert.deepEqual(parse(inPieces(bytes, 1)), whole)
      }),
      { numRuns },
    )
  })

  test('an accepted target is canonical, and every byte is either head or rest', () => {
    fc.assert(
      fc.property(input, (bytes) => {
        const outcome = parse([bytes])
        if (outcome.kind !== 'complete') return
        assert.match(outcome.target, /^(?:[a-z0-9._-]{1,253}|\[[0-9a-f:]{2,39}\]):[1-9][0-9]{0,4}$/)
        const authority = parseAuthority(outcome.target)
        assert.equal(authority && formatAuthority(authority), outcome.target)
        const text = bytes.toString('latin1')
        const headLength = text.indexOf('\r\n\r\n', text.startsWith('\r\n') ? 2 : 0) + 4
        assert.equal(outcome.rest, text.slice(headLength))
      }),
      { numRuns },
    )
  })
})
