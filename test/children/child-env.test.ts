// What children get: by level, by choice, and over an environment that has something of its own already.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createChildEnvironment } from '#src/system/children/child-env.js'
import { CHILD_VARIABLES } from '#src/system/children/variables.js'
import { TARGETS, withChoice } from './child-targets.js'

const CONTRACT = [
  ...['HTTPS_PROXY', 'https_proxy', 'NO_PROXY', 'no_proxy', 'SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS'],
  ...['REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE'],
]
const FILES = ['WGETRC', 'PHP_INI_SCAN_DIR', 'APT_CONFIG', 'NODE_OPTIONS', 'JAVA_TOOL_OPTIONS', 'RUBYLIB']

describe('the environment for children', () => {
  test('of the level contract is the variables of the contract', () => {
    const env = createChildEnvironment(withChoice({ level: 'contract' }), { COMPOSER_CAFILE: '/company.pem' })
    assert.deepEqual(Object.keys(env).sort(), CONTRACT.toSorted())
  })

  test('of the level default has what needs no file, and what the container has set', () => {
    const env = createChildEnvironment(withChoice({ level: 'default' }), { COMPOSER_CAFILE: '/company.pem' })
    assert.equal(env.GIT_SSL_CAINFO, TARGETS.fullBundleFile)
    assert.equal(env.COMPOSER_CAFILE, TARGETS.fullBundleFile)
    assert.deepEqual(
      FILES.filter((name) => name in env),
      [],
    )
  })

  test('of the level files has everything', () => {
    const env = createChildEnvironment(TARGETS, {})
    const expected = CHILD_VARIABLES.filter(({ level }) => level !== 'inherited').map(({ name }) => name)
    assert.deepEqual(Object.keys(env).sort(), [...expected, 'GIT_CONFIG_KEY_0', 'GIT_CONFIG_VALUE_0'].sort())
  })

  test('names the proxy, the bundle, and for Node the extra certificates alone', () => {
    const env = createChildEnvironment(TARGETS, {})
    for (const name of ['HTTPS_PROXY', 'https_proxy', 'YARN_HTTPS_PROXY']) assert.equal(env[name], TARGETS.proxyUrl)
    for (const name of ['SSL_CERT_FILE', 'REQUESTS_CA_BUNDLE', 'GIT_SSL_CAINFO'])
      assert.equal(env[name], TARGETS.fullBundleFile)
    assert.equal(env.NODE_EXTRA_CA_CERTS, TARGETS.extraCertificatesFile)
  })

  for (const name of [...CONTRACT, 'GIT_SSL_CAINFO', ...FILES]) {
    test(`leaves ${name} as it is where it is excepted`, () => {
      const env = createChildEnvironment(withChoice({ except: [name] }), {})
      assert.ok(!(name in env))
      assert.equal(Object.keys(env).length, Object.keys(createChildEnvironment(TARGETS, {})).length - 1)
    })
  }

  test('overwrites twins in both cases with one value', () => {
    const inherited = {
      HTTPS_PROXY: 'http://a.test:1',
      https_proxy: 'http://b.test:2',
      NO_PROXY: 'x.test',
      no_proxy: '',
    }
    const env = createChildEnvironment(TARGETS, inherited)
    assert.deepEqual([env.HTTPS_PROXY, env.https_proxy], [TARGETS.proxyUrl, TARGETS.proxyUrl])
    assert.equal(env.NO_PROXY, env.no_proxy)
    assert.ok(env.NO_PROXY?.split(',').includes('x.test'))
  })

  test('extends what holds options of other people', () => {
    const inherited = {
      NODE_OPTIONS: '--max-old-space-size=512',
      JAVA_TOOL_OPTIONS: '-Xmx512m',
      PHP_INI_SCAN_DIR: '/etc/php/company',
      RUBYLIB: '/opt/ruby',
    }
    const env = createChildEnvironment(TARGETS, inherited)
    for (const [name, value] of Object.entries(inherited)) {
      assert.ok(env[name]?.includes(value), `${name}=${env[name]}`)
      assert.ok((env[name]?.length ?? 0) > value.length, name)
    }
  })

  test('takes a bundle over only where the container has named one', () => {
    const named = createChildEnvironment(TARGETS, { HEX_CACERTS_PATH: '/company.pem' })
    assert.equal(named.HEX_CACERTS_PATH, TARGETS.fullBundleFile)
    assert.ok(!('HEX_CACERTS_PATH' in createChildEnvironment(TARGETS, { HEX_CACERTS_PATH: '' })))
  })

  test('does not change when it is applied to its own result', () => {
    const targets = withChoice({ gitHttpsHosts: ['git.example'] })
    const inherited = {
      NODE_OPTIONS: '--no-warnings',
      JAVA_TOOL_OPTIONS: '-Xmx1g',
      NO_PROXY: 'x.test',
      GIT_CONFIG_COUNT: '0',
    }
    const once = { ...inherited, ...createChildEnvironment(targets, inherited) }
    assert.deepEqual({ ...once, ...createChildEnvironment(targets, once) }, once)
  })

  test('never has a variable for plain HTTP, for everything, or against verification', () => {
    const names = CHILD_VARIABLES.map(({ name }) => name)
    const never =
      /^(?:http_proxy|all_proxy|ftp_proxy|node_tls_reject_unauthorized|git_ssl_no_verify|pythonhttpsverify)$/i
    assert.deepEqual(
      names.filter((name) => never.test(name)),
      [],
    )
    assert.equal(new Set(names).size, names.length)
  })
})
