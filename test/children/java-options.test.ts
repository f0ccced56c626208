// JAVA_TOOL_OPTIONS: what is written, and Java's two HTTP clients with it behind a real relay.

import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { parseCertificates } from '#src/system/certificates/pem.js'
import { extendJavaToolOptions, javaToolOptions } from '#src/system/children/files/java-options.js'
import { encodeJavaTrustStore } from '#src/system/children/files/java-trust-store.js'
import { RULED_HOST, SECRET } from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'
import { type FileSession, startFileSession } from './file-session.js'
import { findJavaHomes } from './java-homes.js'

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

const PROGRAM = `
import java.net.*;
import java.net.http.*;
public class Main {
  public static void main(String[] args) throws Exception {
    URI uri = URI.create(args[1]);
    if (args[0].equals("HttpClient")) {
      HttpRequest request = HttpRequest.newBuilder(uri).build();
      System.out.println(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body());
    } else {
      System.out.println(new String(uri.toURL().openStream().readAllBytes()));
    }
  }
}
`

const setup = new SharedScope()
const homes = findJavaHomes()

describe('Java behind the relay', { timeout: 300_000, skip: homes.length === 0 && 'no JDK is installed' }, () => {
  let session: FileSession
  let options = ''

  before(async () => {
    session = await startFileSession(setup)
    writeFileSync(join(session.directory, 'Main.java'), PROGRAM)
    // Names that need every kind of quoting.
    const folder = join(session.directory, `trust "stores" of 'mine'`)
    mkdirSync(folder)
    const trustStoreFile = join(folder, 'trust.jks')
    writeFileSync(trustStoreFile, encodeJavaTrustStore(parseCertificates(session.bundlePem).certificates))
    const noProxy = session.clientEnv.NO_PROXY ?? ''
    options = javaToolOptions({ proxyHost: '127.0.0.1', proxyPort: session.port, noProxy, trustStoreFile })
  })
  after(() => setup.end())

  const java = (home: string, client: string, url: string, toolOptions: string | undefined) =>
    session.run(join(home, 'bin/java'), ['Main.java', client, url], { JAVA_TOOL_OPTIONS: toolOptions })

  for (const home of homes) {
    for (const client of ['HttpClient', 'HttpsURLConnection']) {
      it(`${client} of ${home} gets the injected credential`, async () => {
        const inherited = '-Dfile.encoding=UTF-8 -Djavax.net.ssl.trustStore=/nowhere'
        const toolOptions = extendJavaToolOptions(inherited, options)
        const { exitCode, stdout, stderr } = await java(home, client, `https://${RULED_HOST}/java`, toolOptions)
        assert.equal(exitCode, 0, stderr)
        assert.ok(stdout.includes(`Bearer ${SECRET}`), stdout)
      })

      it(`${client} of ${home} goes past the relay to localhost`, async () => {
        const { connections } = session.direct
        const { exitCode, stderr } = await java(home, client, `https://localhost:${session.direct.port}/`, options)
        assert.equal(exitCode, 0, stderr)
        assert.equal(session.direct.connections, connections + 1)
        assert.doesNotMatch(JSON.stringify(session.system.audit), /localhost/)
      })
    }

    it(`HttpClient of ${home} gets nowhere without the variable`, async () => {
      const { exitCode, stderr } = await java(home, 'HttpClient', `https://${RULED_HOST}/java`, undefined)
      assert.notEqual(exitCode, 0)
      assert.match(stderr, /ConnectException|UnknownHost|UnresolvedAddress/)
    })
  }
})
