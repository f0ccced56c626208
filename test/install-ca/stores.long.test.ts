// `install-ca` into the tree of an image of each kind, and `uninstall-ca` out of it again: nothing is left.

import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { startCaServer } from '../support/ca-server.js'
import { CLI_FILE, run } from '../support/cli-process.js'
import { freePort } from '../support/listening.js'
import { runtimes } from '../support/runtimes.js'
import { createTempDirectory, type Scope, SharedScope } from '../support/temp-dir.js'
import { createTestCa, type TestCa } from '../support/test-ca.js'
import { chooseActor } from '../support/unprivileged.js'
import { ask, assertSameTree, call, install, statuses, uninstall } from './command.js'
import { createTree, type Layout, photograph, put } from './scratch-root.js'

const POLICIES = `{"policies":   {"DisableTelemetry": true,
  "Certificates": {"ImportEnterpriseRoots": true, "Install": ["/etc/corporate.pem"]}}}`

/** Debian without its update command, with both browsers. */
const EVERYTHING: Layout = {
  'usr/local/share/ca-certificates': 'folder',
  'var/lib': 'folder',
  'usr/bin/chromium': { script: '#!/bin/sh\n' },
  'usr/lib/firefox-esr/firefox-esr': { script: '#!/bin/sh\n' },
  'etc/firefox/policies/policies.json': POLICIES,
}

const FAMILIES: readonly { name: string; layout: Layout; anchors: string; command: string }[] = [
  {
    name: 'Debian',
    layout: { 'etc/ca-certificates.conf': '', 'etc/ssl/certs/ca-certificates.crt': '', 'var/lib': 'folder' },
    anchors: 'usr/local/share/ca-certificates',
    command: 'update-ca-certificates',
  },
  {
    name: 'Alpine',
    layout: { 'etc/ssl/certs/ca-certificates.crt': '', 'etc/ssl/cert.pem': { link: 'certs/ca-certificates.crt' } },
    anchors: 'usr/local/share/ca-certificates',
    command: 'update-ca-certificates',
  },
  {
    name: 'Fedora',
    layout: {
      'etc/pki/ca-trust/source/anchors': 'folder',
      'etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem': '',
      'etc/ssl/certs': { link: '../pki/tls/certs' },
      'etc/pki/tls/certs/ca-bundle.crt': { link: '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem' },
    },
    anchors: 'etc/pki/ca-trust/source/anchors',
    command: 'update-ca-trust extract',
  },
  {
    name: 'openSUSE',
    layout: { 'etc/pki/trust/anchors': 'folder', 'var/lib/ca-certificates/ca-bundle.pem': '' },
    anchors: 'etc/pki/trust/anchors',
    command: 'update-ca-certificates',
  },
  {
    name: 'Arch Linux',
    layout: { 'etc/ca-certificates/trust-source/anchors': 'folder', 'etc/ssl/certs/ca-certificates.crt': '' },
    anchors: 'etc/ca-certificates/trust-source/anchors',
    command: 'trust extract-compat',
  },
]

describe('install-ca in a tree', { concurrency: 2, timeout: 1_800_000 }, () => {
  const scope = new SharedScope()
  let ca: TestCa
  let caFile: string

  before(async () => {
    ca = await createTestCa('interception root')
    const folder = createTempDirectory(scope, 'ca')
    chmodSync(folder, 0o755)
    caFile = join(folder, 'ca.pem')
    writeFileSync(caFile, ca.rootPem)
  })
  after(() => scope.end())

  for (const { name, layout, anchors, command } of FAMILIES) {
    it(`puts ${name}'s anchor in place, names the command that is missing, and leaves nothing`, async (t) => {
      const root = createTree(t, layout)
      const empty = photograph(root)
      const [system] = await install(t, root, caFile)
      assert.deepEqual([system?.store, system?.status, system?.path], ['system', 'installed', `/${anchors}`])
      assert.equal(system?.hint, `run ${command} in the image`)
      const [file = '', ...more] = readdirSync(join(root, anchors))
      assert.deepEqual(more, [])
      assert.match(file, /^ccr-upstream-proxy-[0-9a-f]{16}\.crt$/)
      assert.ok(
        new X509Certificate(readFileSync(join(root, anchors, file))).raw.equals(new X509Certificate(ca.rootPem).raw),
      )
      await uninstall(t, root)
      assertSameTree(root, empty)
    })
  }

  it('changes nothing in a tree where there is no store', async (t) => {
    const root = createTree(t, { 'bin/app': 'static' })
    const empty = photograph(root)
    const stores = await install(t, root, caFile)
    assert.deepEqual(statuses(stores), [
      'system: not found',
      'java: not found',
      'chromium: not found',
      'firefox: not found',
    ])
    assertSameTree(root, empty)
    assert.deepEqual(await uninstall(t, root), [])
    assert.equal((await call(t, ['uninstall-ca', '--root', root])).stdout, 'Nothing is installed.\n')
  })

  for (const runtime of runtimes) {
    it(`changes nothing the second time, and leaves nothing (${runtime.name})`, async (t) => {
      const program = [runtime.path, CLI_FILE]
      const root = createTree(t, EVERYTHING)
      const empty = photograph(root)
      const args = ['install-ca', '--root', root, '--ca-file', caFile]
      const first = await ask(t, args, { program })
      assert.deepEqual(statuses(first.stores), [
        'system: installed',
        'java: not found',
        'chromium: installed',
        'firefox: installed',
      ])
      const installed = photograph(root)
      const second = await ask(t, args, { program })
      assert.deepEqual(
        [second.exitCode, ...statuses(second.stores)],
        [0, 'system: already there', 'java: not found', 'chromium: already there', 'firefox: already there'],
      )
      assertSameTree(root, installed)
      const end = await ask(t, ['uninstall-ca', '--root', root], { program })
      assert.deepEqual(
        [end.exitCode, ...statuses(end.stores)],
        [0, 'system: removed', 'chromium: removed', 'firefox: removed'],
      )
      assertSameTree(root, empty)
    })
  }

  it('says in words what became of each store', async (t) => {
    const root = createTree(t, EVERYTHING)
    const { exitCode, stdout, stderr } = await call(t, ['install-ca', '--root', root, '--ca-file', caFile])
    assert.deepEqual([exitCode, stderr], [0, ''])
    assert.match(stdout, /^installed {6}system {4}the anchors are in place, but update-ca-certificates was not run/)
    assert.match(stdout, /\n +→ run update-ca-certificates in the image\n/)
    assert.match(
      stdout,
      /\nnot found {6}java\ninstalled {6}chromium {2}\/etc\/chromium\/policies\/managed\/ccr-upstream-proxy.json\n/,
    )
    const end = await call(t, ['uninstall-ca', '--root', root])
    assert.deepEqual(
      [end.exitCode, end.stdout],
      [0, 'removed        system\nremoved        chromium\nremoved        firefox\n'],
    )
  })

  it('installs into the stores of --only alone', async (t) => {
    const root = createTree(t, EVERYTHING)
    const empty = photograph(root)
    const stores = await install(t, root, caFile, '--only', 'FIREFOX,Chromium')
    assert.deepEqual(statuses(stores), ['chromium: installed', 'firefox: installed'])
    assert.deepEqual(readdirSync(join(root, 'usr/local/share/ca-certificates')), [])
    assert.deepEqual(statuses(await install(t, root, caFile, '--only', 'system')), ['system: installed'])
    await uninstall(t, root)
    assertSameTree(root, empty)
  })

  it('changes nothing with --dry-run', async (t) => {
    const root = createTree(t, EVERYTHING)
    const empty = photograph(root)
    const stores = await install(t, root, caFile, '--dry-run')
    assert.deepEqual(statuses(stores).slice(0, 1), ['system: installed'])
    const words = await call(t, ['install-ca', '--root', root, '--ca-file', caFile, '--dry-run'])
    assert.match(words.stdout, /Nothing was changed: this is what would be done\.\n$/)
    assertSameTree(root, empty)
    await install(t, root, caFile)
    const installed = photograph(root)
    const answer = await ask(t, ['uninstall-ca', '--root', root, '--dry-run'])
    assert.deepEqual(statuses(answer.stores), ['system: removed', 'chromium: removed', 'firefox: removed'])
    assertSameTree(root, installed)
  })

  it('makes what everybody can read under umask 077', async (t) => {
    const root = createTree(t, { ...EVERYTHING, 'var/lib': 'folder' })
    rmSync(join(root, 'usr/local/share'), { recursive: true })
    put(root, 'etc/ca-certificates.conf', '')
    const script = 'umask 077; exec "$@"'
    const program = ['/bin/sh', '-c', script, 'sh', process.execPath, CLI_FILE]
    const { exitCode } = await call(t, ['install-ca', '--root', root, '--ca-file', caFile], { program })
    assert.equal(exitCode, 0)
    const made = ['usr/local/share/ca-certificates', 'etc/chromium/policies/managed', 'etc/firefox/policies']
    for (const folder of made) {
      assert.equal(lstatSync(join(root, folder)).mode & 0o777, 0o755, folder)
      for (const name of readdirSync(join(root, folder))) {
        assert.equal(lstatSync(join(root, folder, name)).mode & 0o777, 0o644, name)
      }
    }
    assert.equal(lstatSync(join(root, 'var/lib/ccr-upstream-proxy/install-ca.json')).mode & 0o777, 0o600)
  })

  it('keeps mode and owner of a file that it extends', async (t) => {
    const root = createTree(t, EVERYTHING)
    const file = join(root, 'etc/firefox/policies/policies.json')
    const [uid, gid] = process.geteuid?.() === 0 ? [12, 34] : [process.getuid?.() ?? 0, process.getgid?.() ?? 0]
    chmodSync(file, 0o640)
    chownSync(file, uid, gid)
    const empty = photograph(root)
    await install(t, root, caFile)
    const { mode, uid: uidNow, gid: gidNow } = lstatSync(file)
    assert.deepEqual([mode & 0o777, uidNow, gidNow], [0o640, uid, gid])
    await uninstall(t, root)
    assertSameTree(root, empty)
  })

  it('installs every certificate of the file', async (t) => {
    const both = join(createTempDirectory(t), 'both.pem')
    writeFileSync(both, `${ca.rootPem}${(await createTestCa('next root')).rootPem}`)
    const root = createTree(t, EVERYTHING)
    const empty = photograph(root)
    await install(t, root, both)
    assert.equal(readdirSync(join(root, 'usr/local/share/ca-certificates')).length, 2)
    await uninstall(t, root)
    assertSameTree(root, empty)
  })

  it('replaces the CA of an earlier run, and still leaves nothing', async (t) => {
    const next = join(createTempDirectory(t), 'next.pem')
    writeFileSync(next, (await createTestCa('next root')).rootPem)
    const root = createTree(t, EVERYTHING)
    const empty = photograph(root)
    await install(t, root, caFile)
    const [old] = readdirSync(join(root, 'usr/local/share/ca-certificates'))
    await install(t, root, next)
    const now = readdirSync(join(root, 'usr/local/share/ca-certificates'))
    assert.equal(now.length, 1)
    assert.notEqual(now[0], old)
    await uninstall(t, root)
    assertSameTree(root, empty)
  })

  it('leaves a CA alone that the system trusts already', async (t) => {
    const root = createTree(t, { 'etc/ssl/certs/ca-certificates.crt': `# corporate\n${ca.rootPem}` })
    const empty = photograph(root)
    const [system] = await install(t, root, caFile)
    assert.equal(system?.status, 'already there')
    assertSameTree(root, empty)
  })

  it('downloads the CA from the gateway, without guard and token', async (t) => {
    const server = await startCaServer(t)
    const root = createTree(t, EVERYTHING)
    const empty = photograph(root)
    const env = { CCR_UPSTREAM_PROXY_URL: `${server.url}/good` }
    const answer = await ask(t, ['install-ca', '--root', root], { env: { ...env, CCR_UPSTREAM_PROXY_LOG: 'silent' } })
    assert.deepEqual([answer.exitCode, answer.stores[0]?.status], [0, 'installed'])
    assert.deepEqual(server.requests, ['/good/upstreamproxy/ca-cert'])
    await uninstall(t, root)
    assertSameTree(root, empty)
  })

  it('refuses what is no CA, and changes nothing', async (t) => {
    const server = await startCaServer(t)
    const folder = createTempDirectory(t)
    const leaf = join(folder, 'leaf.pem')
    writeFileSync(leaf, (await ca.serverCertificate('leaf.example.test')).cert)
    const text = join(folder, 'text.pem')
    writeFileSync(text, 'no certificate at all')
    const root = createTree(t, EVERYTHING)
    const empty = photograph(root)
    const quiet = { CCR_UPSTREAM_PROXY_LOG: 'silent' }
    const base = (url: string) => ({ env: { ...quiet, CCR_UPSTREAM_PROXY_URL: url } })
    const CASES = [
      { args: ['--ca-file', leaf], code: 'ca-invalid' },
      { args: ['--ca-file', text], code: 'ca-invalid' },
      { args: ['--ca-file', join(folder, 'missing.pem')], code: 'config-invalid' },
      { args: ['--ca-file', folder], code: 'config-invalid' },
      { args: [], code: 'ca-invalid', options: base(`${server.url}/expired`) },
      { args: [], code: 'ca-invalid', options: base(`${server.url}/leaf`) },
      { args: [], code: 'ca-refused', options: base(`${server.url}/not-found`) },
      { args: [], code: 'gateway-unreachable', options: base(`http://127.0.0.1:${await freePort()}`) },
    ]
    for (const { args, code, options } of CASES) {
      const answer = await ask(t, ['install-ca', '--root', root, ...args], options)
      assert.deepEqual([answer.exitCode, answer.ok, answer.code], [1, false, code])
      assertSameTree(root, empty)
    }
    const { exitCode, stdout, stderr } = await call(t, ['install-ca', '--root', root, '--ca-file', leaf])
    assert.deepEqual([exitCode, stdout], [1, ''])
    assert.match(
      stderr,
      /^ccr-upstream-proxy: error \[ca-invalid\] \S+leaf.pem holds a certificate without CA:TRUE; hint: /,
    )
  })

  it('tells another user than root what to do', async (t) => {
    const actor = chooseActor(t)
    if (actor.isRoot) return t.skip('root cannot become another user here')
    const options = { program: [actor.nodeFile, actor.cliFile], ...actor.ids }
    const answer = await ask(t, ['install-ca', '--ca-file', caFile], options)
    assert.deepEqual([answer.exitCode, answer.code], [1, 'not-root'])
    const root = createTree(t, EVERYTHING)
    // Who runs the tests may be the user who runs the program.
    const folders = [root, ...Object.keys(photograph(root)).map((path) => join(root, path))].filter((path) =>
      lstatSync(path).isDirectory(),
    )
    for (const folder of folders) chmodSync(folder, 0o555)
    try {
      const empty = photograph(root)
      const refused = await ask(t, ['install-ca', '--root', root, '--ca-file', caFile], options)
      assert.equal(refused.exitCode, 1)
      assert.deepEqual(
        refused.stores.filter(({ status }) => status === 'failed').map(({ code, hint }) => [code, hint === undefined]),
        [
          ['store-unwritable', false],
          ['store-unwritable', false],
          ['store-unwritable', false],
        ],
      )
      assertSameTree(root, empty)
    } finally {
      for (const folder of folders) chmodSync(folder, 0o755)
    }
  })

  it("lets another user than root work on a tree of that user's own", async (t) => {
    const actor = chooseActor(t)
    const root = createTree(t, EVERYTHING)
    const paths = Object.keys(photograph(root)).map((path) => join(root, path))
    actor.own(...paths)
    const empty = photograph(root)
    const options = { program: [actor.nodeFile, actor.cliFile], ...actor.ids }
    const answer = await ask(t, ['install-ca', '--root', root, '--ca-file', caFile], options)
    assert.equal(answer.exitCode, 0, JSON.stringify(answer))
    const end = await ask(t, ['uninstall-ca', '--root', root], options)
    assert.equal(end.exitCode, 0)
    assertSameTree(root, empty)
  })

  it('follows no link out of the tree', async (t) => {
    const outside = createTempDirectory(t, 'outside')
    const victim = join(outside, 'policies.json')
    writeFileSync(victim, POLICIES)
    const root = createTree(t, {
      'etc/ca-certificates.conf': '',
      'usr/local/share/ca-certificates': { link: outside },
      'usr/bin/chromium': '',
      'etc/chromium/policies': { link: `../../../../../../../../../../..${outside}` },
      'usr/bin/firefox': '',
      'etc/firefox/policies/policies.json': { link: victim },
      'var/lib/ccr-upstream-proxy': { link: outside },
    })
    const [empty, emptyOutside] = [photograph(root), photograph(outside)]
    await install(t, root, caFile)
    assertSameTree(outside, emptyOutside)
    // It is where a process of the image would look for it.
    assert.ok(existsSync(join(root, outside, 'policies.json')))
    await uninstall(t, root)
    assertSameTree(outside, emptyOutside)
    assertSameTree(root, empty)
  })

  it('gives up a circle of links', async (t) => {
    const root = createTree(t, { 'etc/ca-certificates.conf': '', 'var/lib': 'folder' })
    mkdirSync(join(root, 'usr/local/share'), { recursive: true })
    symlinkSync('ca-certificates', join(root, 'usr/local/share/ca-certificates'))
    const empty = photograph(root)
    const answer = await ask(t, ['install-ca', '--root', root, '--ca-file', caFile, '--only', 'system'])
    assert.deepEqual([answer.exitCode, answer.stores[0]?.code], [1, 'store-unwritable'])
    assertSameTree(root, empty)
  })

  it('takes a tree that is given by a link, or from inside', async (t) => {
    const root = createTree(t, EVERYTHING)
    const empty = photograph(root)
    const link = join(createTempDirectory(t), 'link')
    symlinkSync(root, link)
    await install(t, link, caFile)
    await uninstall(t, root)
    assertSameTree(root, empty)
  })

  describe('with Chromium', () => {
    const managed = 'etc/chromium/policies/managed'
    const CHROMIUM: Layout = {
      'usr/bin/chromium': '',
      'var/lib': 'folder',
      [`${managed}/zz-proxy.json`]: '{"ProxyMode":"system"}',
    }
    const listOf = (root: string, name: string): readonly string[] =>
      (JSON.parse(readFileSync(join(root, managed, name), 'utf8')) as { CACertificates: string[] }).CACertificates

    it('lists the DER in a file of its own', async (t) => {
      const root = createTree(t, CHROMIUM)
      await install(t, root, caFile)
      const expected = new X509Certificate(ca.rootPem).raw.toString('base64')
      assert.deepEqual(listOf(root, 'ccr-upstream-proxy.json'), [expected])
    })

    it('extends the file that decides, for the last of them hides the others', async (t) => {
      const root = createTree(t, {
        ...CHROMIUM,
        [`${managed}/aa.json`]: '{"CACertificates":["AAAA"]}',
        [`${managed}/corporate.json`]: '{"CACertificates":\n["BBBB"],"X":1}',
      })
      const empty = photograph(root)
      await install(t, root, caFile)
      assert.deepEqual(listOf(root, 'corporate.json').slice(0, 1), ['BBBB'])
      assert.equal(listOf(root, 'corporate.json').length, 2)
      assert.ok(!existsSync(join(root, managed, 'ccr-upstream-proxy.json')))
      await uninstall(t, root)
      assertSameTree(root, empty)
    })
  })

  describe('with Firefox', () => {
    it('lists a file with the certificate beside what was listed', async (t) => {
      const root = createTree(t, EVERYTHING)
      await install(t, root, caFile)
      const { policies } = JSON.parse(readFileSync(join(root, 'etc/firefox/policies/policies.json'), 'utf8')) as {
        policies: { DisableTelemetry: boolean; Certificates: { ImportEnterpriseRoots: boolean; Install: string[] } }
      }
      assert.deepEqual([policies.DisableTelemetry, policies.Certificates.ImportEnterpriseRoots], [true, true])
      const [corporate, ours = ''] = policies.Certificates.Install
      assert.equal(corporate, '/etc/corporate.pem')
      assert.equal(readFileSync(join(root, ours), 'utf8'), new X509Certificate(ca.rootPem).toString())
    })

    it("extends the policies in the browser's own folder, which a new shared file would hide", async (t) => {
      const own = 'usr/lib/firefox/distribution/policies.json'
      const root = createTree(t, { [own]: POLICIES, 'var/lib': 'folder' })
      const empty = photograph(root)
      await install(t, root, caFile)
      assert.ok(!existsSync(join(root, 'etc/firefox/policies/policies.json')))
      assert.match(readFileSync(join(root, own), 'utf8'), /ccr-upstream-proxy-/)
      await uninstall(t, root)
      assertSameTree(root, empty)
    })

    for (const [what, text] of [
      ['no JSON', '{"policies": // mine\n{}}'],
      ['no object', '[]'],
      ['no list', '{"policies":{"Certificates":{"Install":"all"}}}'],
    ] as const) {
      it(`leaves a policy file alone that is ${what}`, async (t) => {
        const root = createTree(t, { ...EVERYTHING, 'etc/firefox/policies/policies.json': text })
        const empty = photograph(root)
        const answer = await ask(t, ['install-ca', '--root', root, '--ca-file', caFile, '--only', 'firefox'])
        assert.deepEqual([answer.exitCode, answer.stores[0]?.code], [1, 'policy-invalid'])
        assertSameTree(root, empty)
      })
    }
  })

  it('stays with the plain diff -r of the issue', async (t: Scope) => {
    const root = createTree(t, EVERYTHING)
    const copy = createTempDirectory(t, 'copy')
    const env = { PATH: process.env.PATH }
    await run(t, 'cp', ['-a', `${root}/.`, copy], { env })
    await install(t, root, caFile)
    assert.equal((await run(t, 'diff', ['-r', root, copy], { env })).exitCode, 1)
    await uninstall(t, root)
    const { exitCode, stdout } = await run(t, 'diff', ['-r', '--no-dereference', root, copy], { env })
    assert.deepEqual([exitCode, stdout], [0, ''])
  })
})
