// JAVA_TOOL_OPTIONS: what is written. Java with it is in java-options.long.test.ts.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { extendJavaToolOptions, javaToolOptions } from '#src/system/children/files/java-options.js'

const hostsOf = (noProxy: string): string[] => {
  const options = javaToolOptions({ proxyHost: '127.0.0.1', proxyPort: 1, noProxy, trustStoreFile: '/t' })
  return /-Dhttp\.nonProxyHosts=(\S*)/.exec(options)?.[1]?.split('|') ?? []
}
const OWN_HOSTS = ['localhost', '127.*', '[::1]', '0.0.0.0', '[::]']

describe('JAVA_TOOL_OPTIONS', () => {
  const ours = javaToolOptions({ proxyHost: '127.0.0.1', proxyPort: 8080, noProxy: 'a.test', trustStoreFile: '/t.jks' })

  it('says proxy, hosts, trust store and what Maven wants', () => {
    assert.equal(
      ours,
      [
        '-Dhttps.proxyHost=127.0.0.1',
        '-Dhttps.proxyPort=8080',
        '-Dhttp.nonProxyHosts=localhost|127.*|[::1]|0.0.0.0|[::]|a.test|*.a.test',
        '-Djavax.net.ssl.trustStore=/t.jks',
        '-Djavax.net.ssl.trustStorePassword=changeit',
        '-Djavax.net.ssl.trustStoreType=JKS',
        '-Daether.connector.http.useSystemProperties=true',
      ].join(' '),
    )
  })

  const cases: readonly [entry: string, patterns: readonly string[]][] = [
    ['a.test', ['a.test', '*.a.test']],
    ['.a.test', ['a.test', '*.a.test']],
    ['*.a.test', ['a.test', '*.a.test']],
    ['a.test:8443', []],
    ['*', []],
    ['192.0.2.7', ['192.0.2.7']],
    ['10.0.0.0/8', ['10.*']],
    ['10.1.2.3/8', ['10.*']],
    ['169.254.0.0/16', ['169.254.*']],
    ['172.16.0.0/12', Array.from({ length: 16 }, (_, index) => `172.${16 + index}.*`)],
    ['172.16.0.0/11', []],
    ['192.0.2.130/31', ['192.0.2.130', '192.0.2.131']],
    ['192.0.2.131/31', ['192.0.2.130', '192.0.2.131']],
    ['0.0.0.0/0', []],
    ['10.0.0.0/33', []],
    ['10.0.0.0/8/8', []],
    ['2001:DB8::0:1', ['[2001:db8::1]']],
    ['[2001:db8::1]', ['[2001:db8::1]']],
    ['fd00::/8', []],
    ['a.test/8', []],
    ['a|b', []],
  ]
  for (const [entry, patterns] of cases) {
    it(`says ${entry} as ${patterns.join(', ') || 'nothing'}`, () => {
      assert.deepEqual(hostsOf(entry), [...OWN_HOSTS, ...patterns])
    })
  }

  it('stays below the limit of older JDKs with the private networks in the list', () => {
    const noProxy = 'localhost,127.0.0.1,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,169.254.0.0/16,.anthropic.com'
    const trustStoreFile = '/var/folders/zz/tmp/ccr-upstream-proxy-AbCdEf/trust-store.jks'
    assert.ok(javaToolOptions({ proxyHost: '127.0.0.1', proxyPort: 65_535, noProxy, trustStoreFile }).length < 700)
  })

  it('keeps inherited options as they stand, and takes over the proxy and the trust store', () => {
    const inherited = `-Xmx1g  '-Dgreeting=good day'\t-Dhttps.proxyHost=old "-Djavax.net.ssl.trustStore=/old store"`
    assert.equal(extendJavaToolOptions(inherited, ours), `-Xmx1g '-Dgreeting=good day' ${ours}`)
  })

  it('lets the hosts of inherited options past the relay too, but never all of them', () => {
    const extended = extendJavaToolOptions('-Dhttp.nonProxyHosts=*.corp.test|*|a.test', ours)
    assert.match(
      extended,
      /-Dhttp\.nonProxyHosts=localhost\|127\.\*\|\[::1\]\|0\.0\.0\.0\|\[::\]\|a\.test\|\*\.a\.test\|\*\.corp\.test /,
    )
  })

  it('changes nothing when it is applied to its own result, and replaces what an outer relay set', () => {
    const outer = extendJavaToolOptions('-Xmx1g', ours)
    assert.equal(extendJavaToolOptions(outer, ours), outer)
    const inner = ours.replace('8080', '9090').replace('/t.jks', '/u.jks')
    assert.equal(extendJavaToolOptions(outer, inner), `-Xmx1g ${inner}`)
  })

  it('is ours alone where nothing is inherited', () => {
    assert.equal(extendJavaToolOptions(undefined, ours), ours)
    assert.equal(extendJavaToolOptions('', ours), ours)
  })
})
