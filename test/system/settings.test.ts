// What the environment says, as settings. What is not understood and keeps a proxy off: init/enabled.long.test.ts.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { DEFAULT_NO_PROXY } from '#src/system/children/no-proxy-list.js'
import { findUnknownVariables, resolveSettings } from '#src/system/settings.js'

const pingIntervalOf = (CCR_UPSTREAM_PROXY_PING_SECONDS: string | undefined) =>
  resolveSettings({}, CCR_UPSTREAM_PROXY_PING_SECONDS === undefined ? {} : { CCR_UPSTREAM_PROXY_PING_SECONDS })
    .pingIntervalMs

test('CCR_UPSTREAM_PROXY_PING_SECONDS is a whole number from 1 to 3,600, or not there', () => {
  for (const [given, expected] of [
    [undefined, undefined],
    ['', undefined],
    ['1', 1_000],
    [' 3 ', 3_000],
    ['3600', 3_600_000],
  ] as const) {
    assert.equal(pingIntervalOf(given), expected, given)
  }
  for (const given of ['0', '3601', '-1', '1.5', '1e3', '5s', '00003', '0x5']) {
    assert.throws(
      () => pingIntervalOf(given),
      { code: 'config-invalid', message: /CCR_UPSTREAM_PROXY_PING_SECONDS/ },
      given,
    )
  }
})

const messagesFor = (environment: Record<string, string>) =>
  findUnknownVariables(environment).map(({ code, message }) => {
    assert.equal(code, 'variable-unknown')
    return message
  })

test('a variable that is misspelt is named with the one that was meant, and without its value', () => {
  assert.deepEqual(messagesFor({ CCR_UPSTREAM_PROXY_GATEWAY_CERT: 'a', CCR_UPSTREAM_PROXY_ULR: 'secret', PATH: '/' }), [
    'CCR_UPSTREAM_PROXY_GATEWAY_CERT is no variable of this package',
    'CCR_UPSTREAM_PROXY_ULR is no variable of this package; CCR_UPSTREAM_PROXY_URL is',
  ])
  assert.match(messagesFor({ CCR_UPSTREAM_PROXY_LGO: '' })[0] ?? '', /; CCR_UPSTREAM_PROXY_LOG is$/)
  assert.deepEqual(messagesFor({ 'CCR_UPSTREAM_PROXY_\u001b[2J': '' }), [
    'CCR_UPSTREAM_PROXY_?[2J is no variable of this package',
  ])
})

test('of many variables that are unknown the first five are named', () => {
  const many = Object.fromEntries(
    Array.from({ length: 5_000 }, (_, at) => [`CCR_UPSTREAM_PROXY_QUITE_ANOTHER_${at}`, '']),
  )
  assert.equal(messagesFor(many).length, 5)
})

test('every variable that the documents name is known', () => {
  const read = (path: string) => readFileSync(fileURLToPath(new URL(`../../../${path}`, import.meta.url)), 'utf8')
  const text = ['src/system/settings.ts', 'src/cli/help.ts', 'README.md', 'doc/deploy.md', 'doc/clients.md']
    .map(read)
    .join()
  const names = new Set(text.match(/CCR_UPSTREAM_PROXY_[A-Z_]*[A-Z]/g))
  assert.ok(names.size > 10, `${names.size}`)
  assert.deepEqual(messagesFor(Object.fromEntries([...names].map((name) => [name, '1']))), [])
})

test('CCR_UPSTREAM_PROXY_NO_PROXY_DEFAULTS is all, loopback or a list, before what is added', () => {
  const entriesOf = (CCR_UPSTREAM_PROXY_NO_PROXY_DEFAULTS: string) =>
    resolveSettings({}, { CCR_UPSTREAM_PROXY_NO_PROXY_DEFAULTS, CCR_UPSTREAM_PROXY_NO_PROXY: 'more.test' })
      .noProxyEntries
  assert.deepEqual(entriesOf('all'), [...DEFAULT_NO_PROXY, 'more.test'])
  assert.deepEqual(entriesOf(''), entriesOf('all'))
  assert.deepEqual(entriesOf('loopback'), ['more.test'])
  assert.deepEqual(entriesOf('10.0.0.0/8, a.test'), ['10.0.0.0/8', 'a.test', 'more.test'])
  assert.deepEqual(resolveSettings({ noProxyDefaults: 'loopback' }, {}).noProxyEntries, [])
  assert.deepEqual(resolveSettings({ noProxyDefaults: ['b.test'], noProxy: [] }, {}).noProxyEntries, ['b.test'])
})
