// The container's own egress proxy, as its environment names it.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { UpstreamProxyError } from '#src/errors.js'
import { exceptOwnAddress } from '#src/protocol/egress-proxy.js'
import { egressTo, readContainerProxy } from '#src/system/egress.js'
import type { Environment } from '#src/system/environment.js'

const GATEWAY = new URL('wss://gateway.test/upstreamproxy/ws')

const resolveEgress = (environment: Environment, gateway: URL) => egressTo(gateway, readContainerProxy(environment))

describe('the egress proxy', () => {
  test('is none when the environment names none', () => {
    assert.equal(resolveEgress({}, GATEWAY), undefined)
    assert.equal(resolveEgress({ HTTPS_PROXY: '' }, GATEWAY), undefined)
    assert.equal(resolveEgress({ HTTP_PROXY: 'http://proxy.test:3128' }, GATEWAY), undefined)
  })

  test('is what HTTPS_PROXY names, the lower-case twin first', () => {
    const egress = resolveEgress({ HTTPS_PROXY: 'http://upper.test:1', https_proxy: 'http://lower.test:2' }, GATEWAY)
    assert.equal(egress?.url.host, 'lower.test:2')
    assert.equal(egress?.authorization, undefined)
  })

  test('gets its credential decoded, and none of it stays in the address', () => {
    const egress = resolveEgress({ HTTPS_PROXY: 'https://us%40er:p%3Aw%25@proxy.test:3129' }, GATEWAY)
    assert.equal(egress?.url.href, 'https://proxy.test:3129/')
    assert.equal(egress?.authorization, `Basic ${Buffer.from('us@er:p:w%').toString('base64')}`)
  })

  test('may be an IPv6 address, and may come without a scheme', () => {
    assert.equal(resolveEgress({ https_proxy: 'http://[2001:db8::1]:3128' }, GATEWAY)?.url.hostname, '[2001:db8::1]')
    assert.equal(resolveEgress({ https_proxy: 'proxy.test:3128' }, GATEWAY)?.url.href, 'http://proxy.test:3128/')
  })

  test('is passed by for a gateway that NO_PROXY names, and for one on loopback', () => {
    const https_proxy = 'http://proxy.test:3128'
    assert.equal(resolveEgress({ https_proxy, no_proxy: '.test' }, GATEWAY), undefined)
    assert.equal(resolveEgress({ https_proxy, NO_PROXY: 'gateway.test:443' }, GATEWAY), undefined)
    assert.ok(resolveEgress({ https_proxy, NO_PROXY: 'gateway.test:80' }, GATEWAY))
    for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '[::1]']) {
      assert.equal(resolveEgress({ https_proxy }, new URL(`wss://${host}:8443/`)), undefined, host)
    }
  })

  test('is refused when it is no HTTP proxy, without a word of its credential', () => {
    for (const https_proxy of ['socks5://user:secret@proxy.test:1080', 'http://', 'http://user:secret@:99999']) {
      assert.throws(
        () => resolveEgress({ https_proxy }, GATEWAY),
        (error) =>
          error instanceof UpstreamProxyError && error.code === 'config-invalid' && !error.message.includes('secret'),
      )
    }
  })

  test('is never the relay itself', () => {
    const onPort = (url: string) => ({ url: new URL(url), authorization: undefined })
    assert.equal(exceptOwnAddress(onPort('http://127.0.0.1:4000'), 4000), undefined)
    assert.equal(exceptOwnAddress(onPort('http://localhost:4000'), 4000), undefined)
    assert.ok(exceptOwnAddress(onPort('http://127.0.0.1:4001'), 4000))
    assert.ok(exceptOwnAddress(onPort('http://proxy.test:4000'), 4000))
  })
})
