// The NO_PROXY lists that containers really have, and what each names.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isInNoProxy } from '#src/protocol/no-proxy.js'

const VECTORS: readonly [list: string, host: string, port: number, named: boolean][] = [
  ['', 'a.test', 443, false],
  ['*', 'a.test', 443, true],
  ['a.test', 'a.test', 443, true],
  ['a.test', 'sub.a.test', 443, true],
  ['a.test', 'nota.test', 443, false],
  ['a.test', 'a.test.evil', 443, false],
  ['.a.test', 'a.test', 443, true],
  ['.a.test', 'sub.a.test', 443, true],
  ['*.a.test', 'sub.a.test', 443, true],
  ['*.a.test', 'nota.test', 443, false],
  ['A.Test', 'a.tEST', 443, true],
  ['a.test.', 'a.test', 443, true],
  ['b.test,a.test', 'a.test', 443, true],
  ['b.test, a.test', 'a.test', 443, true],
  ['b.test a.test', 'a.test', 443, true],
  [',,', 'a.test', 443, false],
  ['a.test:443', 'a.test', 443, true],
  ['a.test:8443', 'a.test', 443, false],
  ['127.0.0.1', '127.0.0.1', 443, true],
  ['127.0.0.1', '127.0.0.2', 443, false],
  ['127.0.0.1:443', '127.0.0.1', 443, true],
  ['10.0.0.0/8', '10.255.1.2', 443, true],
  ['10.0.0.0/8', '11.0.0.1', 443, false],
  ['172.16.0.0/12', '172.31.255.255', 443, true],
  ['172.16.0.0/12', '172.32.0.0', 443, false],
  ['0.0.0.0/0', '8.8.8.8', 443, true],
  ['10.0.0.0/33', '10.0.0.1', 443, false],
  ['10.0.0.0/', '10.0.0.1', 443, false],
  ['::1', '::1', 443, true],
  ['[::1]', '::1', 443, true],
  ['[::1]:443', '::1', 443, true],
  ['[::1]:80', '::1', 443, false],
  ['fd00::/8', 'fd12:3456::1', 443, true],
  ['fd00::/8', 'fe80::1', 443, false],
  ['2001:db8::/33', '2001:db8:7fff::1', 443, true],
  ['2001:db8::/33', '2001:db8:8000::1', 443, false],
  ['::ffff:10.0.0.1', '10.0.0.1', 443, false],
  ['10.', '10.0.0.1', 443, false],
  ['10', '10.0.0.1', 443, false],
]

describe('NO_PROXY', () => {
  for (const [list, host, port, named] of VECTORS) {
    test(`«${list}» ${named ? 'names' : 'does not name'} ${host}:${port}`, () => {
      assert.equal(isInNoProxy(list, host, port), named)
    })
  }
})
