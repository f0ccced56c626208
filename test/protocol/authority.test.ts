// The grammar of a CONNECT's authority, row by row.

import assert from 'node:assert/strict'
import { isIPv6 } from 'node:net'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { canonicalIpv6, formatAuthority, parseAuthority } from '#src/protocol/authority.js'
import { TARGETS } from '../support/connect-vectors.js'

describe('parseAuthority', () => {
  for (const [target, canonical] of TARGETS) {
    const name = target.length > 60 ? `${target.slice(0, 20)}… (${target.length})` : target
    test(canonical === undefined ? `refuses ${name}` : `reads ${name}`, () => {
      const authority = parseAuthority(target)
      assert.equal(authority && formatAuthority(authority), canonical)
    })
  }

  test('refuses white space, line ends and other characters around and inside', () => {
    for (const character of [' ', '\t', '\r', '\n', '\0', '\u00a0', '\u3002', 'é', '/', '\\', '"']) {
      for (const target of [`${character}h.example:443`, `h${character}.example:443`, `h.example:443${character}`]) {
        assert.equal(parseAuthority(target), undefined, JSON.stringify(target))
      }
    }
  })

  test('tells names, IPv4 and IPv6 addresses apart', () => {
    assert.deepEqual(parseAuthority('H.example:1'), { kind: 'name', host: 'h.example', port: 1 })
    assert.deepEqual(parseAuthority('10.0.0.1:22'), { kind: 'ipv4', host: '10.0.0.1', port: 22 })
    assert.deepEqual(parseAuthority('[::A]:65535'), { kind: 'ipv6', host: '::a', port: 65_535 })
  })

  test('agrees with node:net about what an IPv6 address is', () => {
    const text = fc.oneof(
      fc.ipV6(),
      fc.string({ unit: fc.constantFrom(...'0123456789abcdefABCDEF::::..'), maxLength: 45 }),
    )
    fc.assert(
      fc.property(text, (address) => {
        assert.equal(canonicalIpv6(address) !== undefined, isIPv6(address), address)
      }),
      { numRuns: 5_000 },
    )
  })

  test('writes an IPv6 address as the WHATWG URL parser does', () => {
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        assert.equal(`[${canonicalIpv6(address)}]`, new URL(`http://[${address}]/`).hostname)
      }),
      { numRuns: 5_000 },
    )
  })

  test('accepts its own output and gives it back unchanged', () => {
    const host = fc.oneof(
      fc.domain(),
      fc.ipV4(),
      fc.ipV6().map((address) => `[${address}]`),
      fc.string({ unit: fc.constantFrom(...'aZ09.-_xX:[]'), maxLength: 30 }),
    )
    fc.assert(
      fc.property(host, fc.integer({ min: 0, max: 70_000 }), (name, port) => {
        const authority = parseAuthority(`${name}:${port}`)
        if (authority === undefined) return
        const text = formatAuthority(authority)
        assert.match(text, /^(?:[a-z0-9._-]{1,253}|\[[0-9a-f:]{2,39}\]):[1-9][0-9]{0,4}$/)
        assert.deepEqual(parseAuthority(text), authority)
      }),
      { numRuns: 5_000 },
    )
  })
})
