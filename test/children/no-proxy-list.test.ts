// Which entries the list for children takes, and why it leaves others out.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createNoProxyList, DEFAULT_NO_PROXY } from '#src/system/children/no-proxy-list.js'

const TAKEN = [
  ...['a.test', '.a.test', '*.a.test', 'A.Test', 'a.test.', 'a_b.test', 'xn--bcher-kva.test', 'host', 'a.test:8443'],
  ...['192.0.2.1', '192.0.2.1:8443', '192.0.2.0/24', '10.0.0.0/7', '192.0.2.1/32', '::1', 'fd00::5', '2001:db8::1'],
]

const LEFT_OUT: readonly [entry: string, reason: RegExp][] = [
  ['*', /every host/],
  ['[::1]', /without them/],
  ['[::1]:443', /without them/],
  ['[fd00::]/8', /without them/],
  ['fd00::/8', /IPv6 networks/],
  ['::/0', /IPv6 networks/],
  ['::ffff:10.0.0.0/104', /IPv6 networks/],
  ['0.0.0.0/0', /every address/],
  ['10.0.0.0/33', /prefix/],
  ['10.0.0.0/', /prefix/],
  ['10.0.0.0/-1', /prefix/],
  ['10.0.0/8', /no network/],
  ['10/8', /no network/],
  ['a.test/24', /no network/],
  ['10.0.0.0/8/8', /no network/],
  ['10.*', /neither a host/],
  ['10.', /neither a host/],
  ['192.168.*.*', /neither a host/],
  ['a..test', /neither a host/],
  ['a.*.test', /neither a host/],
  ['http://a.test', /no network/],
  ['a.test:0', /port/],
  ['a.test:99999', /port/],
  ['a.test b.test', /space/],
  ['a.test,b.test', /comma/],
  ['a;b', /neither a host/],
  ['2130706433', /neither a host/],
  ['0x7f000001', /neither a host/],
  ['127.1', /neither a host/],
  [`${'a'.repeat(64)}.test`, /neither a host/],
]

describe('the NO_PROXY list for children', () => {
  for (const entry of TAKEN) {
    test(`takes ${entry}`, () => {
      const { list, refused } = createNoProxyList([entry], {})
      assert.ok(list.split(',').includes(entry))
      assert.deepEqual(refused, [])
    })
  }

  for (const [entry, reason] of LEFT_OUT) {
    test(`leaves «${entry}» out and says why`, () => {
      const { list, refused } = createNoProxyList([entry, 'next.test'], {})
      assert.ok(list.endsWith(',next.test'))
      assert.ok(!list.split(',').includes(entry))
      assert.equal(refused[0]?.entry, entry)
      assert.match(refused[0]?.reason ?? '', reason)
    })
  }

  test('begins with this machine, whatever is configured', () => {
    assert.equal(createNoProxyList([], {}).list, 'localhost,127.0.0.1,::1')
  })

  test('has private and link-local networks and the Anthropic API by default', () => {
    assert.equal(
      createNoProxyList(DEFAULT_NO_PROXY, {}).list,
      'localhost,127.0.0.1,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,169.254.0.0/16,' +
        'anthropic.com,.anthropic.com,*.anthropic.com',
    )
  })

  test('has each entry once, and those of the container in either case', () => {
    const { list } = createNoProxyList(['a.test'], { NO_PROXY: 'a.test, b.test', no_proxy: 'c.test b.test' })
    assert.match(list, /,a\.test,b\.test,c\.test$/)
  })

  test('takes an address that the container has in brackets without them', () => {
    const { list, refused } = createNoProxyList([], { NO_PROXY: '[fd00::5],[::1]' })
    assert.match(list, /,fd00::5$/)
    assert.deepEqual(refused, [])
  })
})
