// What is taken out of an origin's heads: secrets in every spelling, and nothing else, at a cost that no origin can raise.

import assert from 'node:assert/strict'
import { describe, mock, test } from 'node:test'
import fc from 'fast-check'
import { Redactor } from '#gateway/credentials/redactor.js'
import { partsOfSecret } from '#gateway/credentials/secrets/secret-parts.js'
import { SecretValue } from '#gateway/credentials/secrets/secret-value.js'
import { Spellings } from '#gateway/credentials/spellings/spellings.js'
import '../support/watched-process.js'

const redact = (secret: string, text: string): string => new Redactor([new SecretValue(secret)]).text(text)

type Spell = (secret: string) => string
const each = (spell: Spell) => (secret: string) => [...secret].map(spell).join('')
const hexOf = (character: string, digits: number) => character.charCodeAt(0).toString(16).padStart(digits, '0')
const NAMES: Readonly<Record<string, string>> = { '&': 'amp', '<': 'lt', '>': 'gt', '"': 'quot', "'": 'apos' }

/** Spellings of one character each; the rest of a text may be in another one. */
const CHARACTERS: Readonly<Record<string, Spell>> = {
  'as it is': (character) => character,
  'percent-encoded, lower case': (character) => `%${hexOf(character, 2)}`,
  'percent-encoded, upper case': (character) => `%${hexOf(character, 2).toUpperCase()}`,
  'percent-encoded twice': (character) => `%25${hexOf(character, 2)}`,
  'percent-encoded where a URL needs it': (character) => encodeURIComponent(character),
  'of a form': (character) => new URLSearchParams([[character, '']]).toString().slice(0, -1),
  'JSON where it needs it': (character) => JSON.stringify(character).slice(1, -1),
  'JSON, slashes escaped': (character) => JSON.stringify(character).slice(1, -1).replace('/', '\\/'),
  'JSON, numbers': (character) => `\\u${hexOf(character, 4)}`,
  'JSON, numbers in upper case': (character) => `\\u${hexOf(character, 4).toUpperCase()}`,
  'quoted string': (character) => character.replace(/["\\]/, '\\$&'),
  'quoted string, all escaped': (character) => `\\${character}`,
  'HTML, decimal': (character) => `&#${character.charCodeAt(0)};`,
  'HTML, hex': (character) => `&#x${hexOf(character, 2)};`,
  'HTML, hex with zeros, upper case': (character) => `&#X${hexOf(character, 6).toUpperCase()};`,
  'HTML, names': (character) => (character in NAMES ? `&${NAMES[character]};` : character),
}

const SPELLINGS: Readonly<Record<string, Spell>> = {
  ...Object.fromEntries(Object.entries(CHARACTERS).map(([name, spell]) => [name, each(spell)])),
  'in lower case': (secret) => secret.toLowerCase(),
  hex: (secret) => Buffer.from(secret).toString('hex'),
  'hex, upper case': (secret) => Buffer.from(secret).toString('hex').toUpperCase(),
  'hex, percent-encoded': (secret) => each((digit) => `%${hexOf(digit, 2)}`)(Buffer.from(secret).toString('hex')),
}

/** A credential as origins hand them out, and one with all that escapes are for. No two characters of it are alike to chance. */
const token = fc.uint8Array({ minLength: 12, maxLength: 120 }).map((bytes) => Buffer.from(bytes).toString('base64'))
const password = fc
  .tuple(token, fc.string({ unit: fc.constantFrom(...'%&\\"\'<>/+-_ \t=;,:.u0aAfF'), maxLength: 12 }), token)
  .map((parts) => parts.join(''))
const secrets = fc.oneof(token, password)
/** Halves of escapes too, which could swallow the first characters of what follows. A lone backslash does, with good reason. */
const text = fc
  .string({ unit: fc.constantFrom(...'abcXYZ0123456789%&\\#;:=/+-_. "\'{}[]()u'), maxLength: 60 })
  .filter((value) => !value.endsWith('\\'))
/** Evenly spread: the small and the equal numbers that fast-check likes to begin with are no secrets. */
const FAIR = { seed: 15, numRuns: 200, unbiased: true, endOnFailure: true } as const

describe('a secret is taken out of random text', () => {
  for (const [name, spell] of Object.entries(SPELLINGS)) {
    test(`spelled: ${name}`, () => {
      fc.assert(
        fc.property(secrets, text, text, (secret, before, after) => {
          const redacted = redact(secret, before + spell(secret) + after)
          assert.equal(redacted, `${before}[redacted]${after}`)
        }),
        FAIR,
      )
    })
  }

  for (const encoding of ['base64', 'base64url'] as const) {
    test(`spelled: ${encoding}, within what is encoded with it, with and without padding`, () => {
      fc.assert(
        fc.property(secrets, text, text, text, text, (secret, before, within, withinAfter, after) => {
          const encoded = Buffer.from(within + secret + withinAfter).toString(encoding)
          for (const spelled of [encoded, encoded.replace(/=+$/, ''), encodeURIComponent(encoded)]) {
            const redacted = redact(secret, `${before},${spelled},${after}`)
            const [head = '', tail = '', ...more] = redacted.split('[redacted]')
            assert.deepEqual(more, [])
            assert.ok(head.startsWith(`${before},`) && tail.endsWith(`,${after}`), redacted)
            // Of the secret's own digits none is left: those before are of what stood before it, those after of the rest.
            const left = (part: string) => decodeURIComponent(part).replaceAll('=', '').length
            assert.ok(left(head.slice(before.length + 1)) <= Math.ceil((within.length * 8) / 6))
            assert.ok(
              left(tail.slice(0, tail.length - after.length - 1)) <= Math.ceil((withinAfter.length * 8) / 6) + 1,
            )
          }
        }),
        FAIR,
      )
    })
  }

  test('spelled in another way at each character', () => {
    const spells = fc.infiniteStream(fc.constantFrom(...Object.values(CHARACTERS)))
    fc.assert(
      fc.property(secrets, spells, text, text, (secret, ways, before, after) => {
        const spelled = [...secret].map((character) => (ways.next().value as Spell)(character)).join('')
        assert.equal(redact(secret, before + spelled + after), `${before}[redacted]${after}`)
      }),
      FAIR,
    )
  })
})

test('text that has nothing to do with a secret is left alone', () => {
  fc.assert(
    fc.property(secrets, fc.string(), text, token, (secret, any, escaped, other) => {
      const unrelated = `${any} ${escaped} ${other} ${encodeURIComponent(other)} ${Buffer.from(other).toString('hex')}`
      assert.equal(redact(secret, unrelated), unrelated)
    }),
    { ...FAIR, numRuns: 1_000 },
  )
})

test('an escape that is cut off in front of a secret does not hide it', () => {
  const secret = '41abcdef/0123456789'
  for (const half of ['%', '%4', '%25', '\\u', '\\u00', '&', '&#', '&#x', '&#x4', '&amp', '&#4']) {
    assert.equal(redact(secret, `${half}${secret}`), `${half}[redacted]`)
    assert.equal(redact(secret, half + encodeURIComponent(secret)), `${half}[redacted]`)
  }
  assert.equal(redact(secret, `\\${secret}`), '[redacted]')
})

test('a secret that looks like an escape is found as it is and escaped', () => {
  for (const secret of ['abc%2Fdef%41', 'abc\\u0041\\/def', 'a&amp;b&#65;cd', '%%%%%%%%', 'A\\user\\\\name']) {
    for (const [name, spell] of Object.entries(SPELLINGS)) {
      assert.equal(redact(secret, `x=${spell(secret)}.`), 'x=[redacted].', `${name}: ${secret}`)
    }
  }
})

test('a secret in another one does not keep that one from being found', () => {
  const [inner, outer] = ['0123456789', 'abc-0123456789-def']
  const redactor = new Redactor([new SecretValue(inner), new SecretValue(outer)])
  assert.equal(redactor.text(`x=${outer}; y=${inner}`), 'x=[redacted]; y=[redacted]')
})

test('names of fields are redacted as well, in lower case too, and stay names', () => {
  const redactor = new Redactor([new SecretValue('Secret-Key-0123456789')])
  const fields = ['X-Secret-Key-0123456789', '1', 'x-secret-key-0123456789', '2', 'X-Other', 'k=secret-key-0123456789']
  assert.deepEqual(redactor.fields(fields), ['X-redacted', '1', 'x-redacted', '2', 'X-Other', 'k=[redacted]'])
})

test('a length stays a length, also where it equals a secret', () => {
  const redactor = new Redactor([new SecretValue('1234567')])
  const fields = ['Content-Length', '1234567', 'X-Pin', '1234567']
  assert.deepEqual(redactor.fields(fields), ['Content-Length', '1234567', 'X-Pin', '[redacted]'])
})

describe('a part of a secret', () => {
  const [header, payload] = [
    { alg: 'HS256', typ: 'JWT' },
    { sub: 'agent', aud: 'things' },
  ].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
  const signature = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk'
  const jwt = `${header}.${payload}.${signature}`

  test('of a token in three parts is found, but not the header, which other tokens have as well', () => {
    assert.equal(redact(jwt, `a=${header}.${payload}; b=${signature}`), `a=${header}.[redacted]; b=[redacted]`)
    assert.equal(redact(jwt, `a=${jwt}`), 'a=[redacted]')
    const other = `${header}.eyJzdWIiOiJzb21lYm9keSBlbHNlIn0.o8uXw5bFnWm1Yk1mQ0PfU7QmE3S0yWcWq7v7Gm9bq1A`
    assert.equal(redact(jwt, `session=${other}`), `session=${other}`)
  })

  test('that is a whole field is found: after the scheme, and what Basic encodes', () => {
    assert.equal(redact('Bearer key-123', 'key-123'), '[redacted]')
    const basic = `Basic ${Buffer.from('somebody:pass-word').toString('base64')}`
    for (const part of [basic, basic.slice(6), 'somebody:pass-word', 'pass-word']) {
      assert.equal(redact(basic, `<${part}>`), '<[redacted]>')
    }
    assert.equal(redact(basic, 'somebody'), 'somebody')
  })

  test('that is one of several parameters is found when it is long', () => {
    const cookies = 'lang=en; session=0123456789abcdef; theme="dark-0123456789abc"'
    assert.equal(redact(cookies, 'session=0123456789abcdef; Path=/'), 'session=[redacted]; Path=/')
    assert.equal(redact(cookies, 'lang=en; theme=dark-0123456789abc'), 'lang=en; theme=[redacted]')
  })

  test('does not make other texts suspicious, however many parts there are', () => {
    const cookies = Array.from({ length: 40 }, (_, at) => `c${at}=${(at + 7) ** 15}-0123456789-${at}`).join('; ')
    const [first] = cookies.split('; ') as [string]
    const unrelated = 'max-age=63072000; includeSubDomains; preload, '.repeat(200)
    assert.equal(redact(cookies, `${unrelated}${first}; Path=/`), `${unrelated}c0=[redacted]; Path=/`)
  })

  test('and a secret of fewer than six characters are not looked for', () => {
    assert.deepEqual(partsOfSecret('12345'), [])
    assert.equal(redact('12345', '12345'), '12345')
    assert.equal(redact('123456', '123456'), '[redacted]')
  })
})

describe('the cost', () => {
  const LENGTH = 32_768
  const secretOf = (length: number) => Array.from({ length }, (_, at) => 'k7Q2xZ9w_B4-n'[(at * at + at) % 13]).join('')
  const filled = (piece: string) => piece.repeat(Math.ceil(LENGTH / piece.length)).slice(0, LENGTH)
  const stepsOf = (secret: string, searched: string) => new Spellings(partsOfSecret(secret)).search(searched).steps

  test("does not depend on a secret's length", () => {
    const searched = filled('Accept-Ranges: bytes, max-age=31536000; W/"5e1f-7c2b" %7B%22k%22%3A1%7D \\"x\\" &amp;')
    const [short = 0, ...longer] = [40, 400, 4_000].map((length) => stepsOf(secretOf(length), searched))
    for (const steps of longer) assert.ok(Math.abs(steps / short - 1) <= 0.1, `${steps} against ${short}`)
    assert.ok(short < searched.length, `${short}`)
  })

  test('is linear in the length of what an origin sends, whatever that is', () => {
    const secret = secretOf(4_000)
    const almost = secret.slice(0, -1)
    const pieces = [almost, encodeURIComponent(almost), each((character) => `%${hexOf(character, 2)}`)(almost)]
    const hostile = [
      ...pieces,
      almost.slice(0, 20),
      secret[0] as string,
      '%',
      '%2',
      '%25',
      '\\',
      '\\u',
      '&',
      '&#',
      '&#x0',
    ]
    const repetitive = [
      'a'.repeat(4_000),
      'ab'.repeat(2_000),
      '%'.repeat(4_000),
      '\\'.repeat(4_000),
      '%25'.repeat(1_300),
    ]
    for (const piece of [...hostile, 'a', '%61', '%2561', '\\a', '&#97;', 'ab', `${'a'.repeat(3_999)}b`]) {
      for (const looked of [secret, ...repetitive]) {
        const steps = stepsOf(looked, filled(piece))
        assert.ok(steps <= 4.1 * LENGTH, `${steps} for ${looked.slice(0, 3)} in ${piece.slice(0, 20)}`)
      }
    }
  })

  test('has a bound after which a text counts as a secret, as a whole', () => {
    assert.equal(redact('a'.repeat(4_000), filled('a')), '[redacted]')
    assert.equal(redact('-----BEGIN KEY', '-'.repeat(200)), '-'.repeat(200))
  })

  test('of working a secret out is paid once, however many answers are searched', () => {
    const value = new SecretValue('0123456789')
    const reveal = mock.method(value, 'reveal')
    for (let count = 0; count < 100; count++) new Redactor([value]).fields(['x', `<0123456789 ${count}>`])
    assert.equal(reveal.mock.callCount(), 1)
  })
})
