// What a relay has replaced in an environment, put back as the relay had found it.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createChildEnvironment } from '#src/system/children/child-env.js'
import { createNoProxyList, DEFAULT_NO_PROXY } from '#src/system/children/no-proxy-list.js'
import { containerEnvironment, describeContainer } from '#src/system/container-environment.js'
import type { Environment } from '#src/system/environment.js'
import type { RelayRecord } from '#src/system/relay-record.js'

const CONTAINER: Environment = {
  PATH: '/bin',
  HTTPS_PROXY: 'http://proxy.example:3128/',
  NO_PROXY: 'internal.example',
  NODE_EXTRA_CA_CERTS: '/etc/corporate.pem',
  NPM_CONFIG_CAFILE: '/etc/npm.pem',
}

function recordIn(environment: Environment): RelayRecord {
  return {
    version: 1,
    pid: process.pid,
    port: 4_000,
    startedAt: 0,
    targets: {
      proxyUrl: 'http://127.0.0.1:4000',
      noProxy: createNoProxyList(DEFAULT_NO_PROXY, environment).list,
      fullBundleFile: '/tmp/relay/ca-bundle.pem',
      extraCertificatesFile: '/tmp/relay/extra-certificates.pem',
      choice: { level: 'default', except: [], gitHttpsHosts: [] },
    },
    container: describeContainer(environment),
  }
}

/** The variables that `names` stand for, as far as they are set. */
function pick(environment: Environment, names: readonly string[]): Environment {
  return Object.fromEntries(names.flatMap((name) => (environment[name] ? [[name, environment[name]]] : [])))
}

describe('the environment of the container', () => {
  const record = recordIn(CONTAINER)
  const names = ['HTTPS_PROXY', 'https_proxy', 'YARN_HTTPS_PROXY', 'NO_PROXY', 'SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS']
  const inside: Environment = { ...CONTAINER, ...createChildEnvironment(record.targets, CONTAINER) }

  test('is found behind that of a relay', () => {
    assert.equal(inside.HTTPS_PROXY, 'http://127.0.0.1:4000')
    const { no_proxy, ...container } = containerEnvironment(inside, [record])
    assert.deepEqual(pick(container, [...names, 'NPM_CONFIG_CAFILE', 'PATH']), CONTAINER)
  })

  test('has what somebody has set since', () => {
    const since = { ...inside, SSL_CERT_FILE: '/home/own.pem', NO_PROXY: `${inside.NO_PROXY},added.example` }
    const container = containerEnvironment(since, [record])
    assert.equal(container.SSL_CERT_FILE, '/home/own.pem')
    assert.equal(container.NO_PROXY?.split(',').at(-1), 'added.example')
    assert.equal(container.HTTPS_PROXY, CONTAINER.HTTPS_PROXY)
  })

  test('is the environment itself where its proxy is no relay', () => {
    for (const HTTPS_PROXY of ['http://127.0.0.1:4001', 'http://proxy.example:4000', 'nonsense://', '']) {
      const environment = { ...inside, https_proxy: '', HTTPS_PROXY }
      assert.equal(containerEnvironment(environment, [record]), environment, HTTPS_PROXY)
    }
  })

  test('names no proxy where the relay had found none, or has not said', () => {
    const { container: _, ...early } = record
    for (const relay of [recordIn({}), early]) {
      const container = containerEnvironment({ ...inside, HTTPS_PROXY: 'http://localhost:4000' }, [relay])
      assert.deepEqual(pick(container, ['HTTPS_PROXY', 'https_proxy', 'SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS']), {})
    }
  })

  test('is written down without the password of its proxy, which is said', () => {
    const { variables, hasEgressCredential } = describeContainer({ https_proxy: 'user:secret@proxy.example:3128' })
    assert.deepEqual([variables, hasEgressCredential], [{ https_proxy: 'http://proxy.example:3128/' }, true])
    assert.equal(recordIn(CONTAINER).container?.hasEgressCredential, false)
  })
})
