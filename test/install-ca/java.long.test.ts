// Java's keystores, with the JDK's own keytool, and a request over HTTPS by Java itself.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { CLI_FILE, type Outcome, run } from '../support/cli-process.js'
import { startOrigin } from '../support/origin.js'
import { createTempDirectory, type Scope, SharedScope } from '../support/temp-dir.js'
import { createTestCa, type TestCa } from '../support/test-ca.js'
import { ask, assertSameTree, install, uninstall } from './command.js'
import { createTree, photograph } from './scratch-root.js'

const JAVA_HOME = findJavaHome()
const skip = JAVA_HOME === undefined ? 'no JDK with keytool and javac is installed' : false
const CACERTS = 'usr/lib/jvm/some-jdk/lib/security/cacerts'

/** As Debian makes it, and as JDKs have shipped it since 18: without a password. */
const STORES = [
  ['JKS'],
  ['PKCS12', ...['certProtection', 'mac'].map((name) => `-J-Dkeystore.pkcs12.${name}Algorithm=NONE`)],
] as const

function findJavaHome(): string | undefined {
  const { stdout } = spawnSync('sh', ['-c', 'command -v keytool'], { encoding: 'utf8' })
  if (stdout.trim() === '') return undefined
  const home = dirname(dirname(realpathSync(stdout.trim())))
  return existsSync(join(home, 'bin/javac')) ? home : undefined
}

describe('with Java', { concurrency: 2, timeout: 1_800_000, skip }, () => {
  const scope = new SharedScope()
  const env = { PATH: `${JAVA_HOME}/bin:/usr/bin:/bin` }
  let ca: TestCa
  let otherCa: TestCa
  let folder: string
  let caFile: string

  before(async () => {
    ca = await createTestCa('interception root')
    otherCa = await createTestCa('other root')
    folder = createTempDirectory(scope, 'java')
    caFile = join(folder, 'ca.pem')
    writeFileSync(caFile, ca.rootPem)
    writeFileSync(join(folder, 'other.pem'), otherCa.rootPem)
    for (const [type, ...flags] of STORES) {
      const entry = ['-importcert', '-noprompt', '-alias', 'other', '-file', join(folder, 'other.pem')]
      const outcome = await keytool(scope, join(folder, type), ...entry, '-storetype', type, ...flags)
      assert.equal(outcome.exitCode, 0, outcome.stdout)
    }
  })
  after(() => scope.end())

  function keytool(t: Scope, keystore: string, ...args: string[]): Promise<Outcome> {
    return run(t, 'keytool', [...args, '-keystore', keystore, '-storepass', 'changeit'], { env })
  }

  async function aliases(t: Scope, keystore: string): Promise<readonly string[]> {
    const { stdout, exitCode } = await keytool(t, keystore, '-list')
    assert.equal(exitCode, 0, stdout)
    return [...stdout.matchAll(/^(\S+), .*trustedCertEntry/gm)]
      .map(([, alias = '']) => alias.replace(/-[0-9a-f]{16}$/, '-…'))
      .sort()
  }

  function createJdk(t: Scope, type: 'JKS' | 'PKCS12'): string {
    const root = createTree(t, {
      'usr/lib/jvm/some-jdk/lib/security': 'folder',
      'opt/a-file': 'no folder',
      'var/lib': 'folder',
    })
    cpSync(join(folder, type), join(root, CACERTS))
    return root
  }

  for (const type of ['JKS', 'PKCS12'] as const) {
    it(`keytool finds the CA in a ${type} store, and the store is put back to the byte`, async (t) => {
      const root = createJdk(t, type)
      const empty = photograph(root)
      const stores = await install(t, root, caFile)
      assert.deepEqual(stores[1], { store: 'java', path: `/${CACERTS}`, status: 'installed' })
      assert.deepEqual(await aliases(t, join(root, CACERTS)), ['ccr-upstream-proxy-…', 'other'])
      const installed = photograph(root)
      assert.equal((await install(t, root, caFile))[1]?.status, 'already there')
      assertSameTree(root, installed)
      await uninstall(t, root)
      assertSameTree(root, empty)
    })
  }

  it('keeps what somebody else has put into the store since', async (t) => {
    const root = createJdk(t, 'PKCS12')
    await install(t, root, caFile)
    const theirs = join(folder, 'theirs.pem')
    writeFileSync(theirs, (await createTestCa('their root')).rootPem)
    await keytool(t, join(root, CACERTS), '-importcert', '-noprompt', '-alias', 'theirs', '-file', theirs)
    const stores = await uninstall(t, root)
    assert.equal(stores[0]?.seen, 'what others have changed since was kept')
    assert.deepEqual(await aliases(t, join(root, CACERTS)), ['other', 'theirs'])
    assert.ok(!existsSync(join(root, 'var/lib/ccr-upstream-proxy')))
  })

  it('installs into the named keystore, and into the one behind several links once', async (t) => {
    const root = createJdk(t, 'JKS')
    cpSync(join(root, CACERTS), join(root, 'trust.jks'))
    mkdirSync(join(root, 'etc/ssl/certs/java'), { recursive: true })
    const shared = join(root, 'etc/ssl/certs/java/cacerts')
    cpSync(join(root, CACERTS), shared)
    rmSync(join(root, CACERTS))
    spawnSync('ln', ['-s', '/etc/ssl/certs/java/cacerts', join(root, CACERTS)])
    const empty = photograph(root)
    const only = ['--only', 'java', '--java-keystore', '/trust.jks']
    assert.deepEqual(
      (await install(t, root, caFile, ...only)).map(({ path }) => path),
      ['/trust.jks'],
    )
    const stores = await install(t, root, caFile, ...only, '--java-keystore', 'auto')
    assert.deepEqual(stores, [
      { store: 'java', path: '/trust.jks', status: 'already there' },
      { store: 'java', path: '/etc/ssl/certs/java/cacerts', status: 'installed' },
    ])
    await uninstall(t, root)
    assertSameTree(root, empty)
  })

  it('fails on a store of another password, on what is none, and without keytool', async (t) => {
    const root = createJdk(t, 'JKS')
    await run(
      t,
      'keytool',
      ['-storepasswd', '-new', 'another', '-keystore', join(root, CACERTS), '-storepass', 'changeit'],
      { env },
    )
    writeFileSync(join(root, 'text'), 'no keystore')
    const empty = photograph(root)
    const args = ['install-ca', '--root', root, '--ca-file', caFile, '--only', 'java']
    const CASES = [
      [['--java-keystore', 'auto'], 'keytool-failed'],
      [['--java-keystore', '/text'], 'keytool-failed'],
      [['--java-keystore', '/missing'], 'store-unwritable'],
      [['--java-keystore', '/usr'], 'store-unwritable'],
    ] as const
    for (const [more, code] of CASES) {
      const answer = await ask(t, [...args, ...more])
      assert.deepEqual([answer.exitCode, answer.stores[0]?.code], [1, code], JSON.stringify(answer))
      assert.ok(answer.stores[0]?.hint)
      assertSameTree(root, empty)
    }
  })

  it('Java trusts a server of the CA over HTTPS, and no more when it is uninstalled', async (t) => {
    const { port } = await startOrigin(t, {
      certificate: await ca.serverCertificate('localhost'),
      handler: (_request, response) => void response.end('hello from afar'),
    })
    const source = join(folder, 'Fetch.java')
    writeFileSync(
      source,
      `public class Fetch {
         public static void main(String[] a) throws Exception {
           System.out.print(new String(new java.net.URL(a[0]).openStream().readAllBytes()));
         }
       }`,
    )
    const root = createJdk(t, 'PKCS12')
    const trust = `-Djavax.net.ssl.trustStore=${join(root, CACERTS)}`
    const fetch = () => run(t, 'java', [trust, source, `https://localhost:${port}/`], { env })
    const empty = readFileSync(join(root, CACERTS))
    await install(t, root, caFile)
    const trusted = await fetch()
    assert.deepEqual([trusted.exitCode, trusted.stdout], [0, 'hello from afar'], trusted.stderr)
    await uninstall(t, root)
    assert.ok(readFileSync(join(root, CACERTS)).equals(empty))
    const refused = await fetch()
    assert.match(refused.stderr, /unable to find valid certification path/)
  })
})

/** Where JDKs are looked for. */
const JDK_FOLDERS = ['/usr/lib/jvm', '/opt/java', '/usr/java']

/** Runs the command line where no JDK can be seen. */
const WITHOUT_JDK = [
  ...['/usr/bin/unshare', '--mount', '/bin/sh', '-e', '-c'],
  `for folder in ${JDK_FOLDERS.join(' ')}; do if [ -d "$folder" ]; then /bin/mount -t tmpfs tmpfs "$folder"; fi; done; exec "$@"`,
  ...['sh', process.execPath, CLI_FILE],
]

const canHide = spawnSync('/usr/bin/unshare', ['--mount', '/bin/mount', '-t', 'tmpfs', 'tmpfs', '/tmp']).status === 0
const skipHidden = canHide || !JDK_FOLDERS.some((path) => existsSync(path)) ? false : 'the JDK cannot be hidden'

it('without keytool a keystore is a failure that says so', { skip: skipHidden }, async (t) => {
  const root = createTree(t, { [CACERTS]: 'some bytes' })
  const caFile = join(createTempDirectory(t), 'ca.pem')
  writeFileSync(caFile, (await createTestCa()).rootPem)
  const program = canHide ? { program: WITHOUT_JDK } : {}
  // No keytool in PATH either.
  const env = { PATH: '/nonexistent' }
  const answer = await ask(t, ['install-ca', '--root', root, '--ca-file', caFile], { ...program, env })
  assert.deepEqual([answer.exitCode, answer.stores[1]?.code], [1, 'keytool-missing'])
})
