// The update command of a distribution: Debian's own, run inside a small Debian; and what it generates, put back to the byte.

import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { parseCertificates } from '#src/system/certificates/pem.js'
import { type Outcome, run } from '../support/cli-process.js'
import { createTempDirectory, type Scope, SharedScope } from '../support/temp-dir.js'
import { createTestCa, type TestCa } from '../support/test-ca.js'
import { ask, assertSameTree, call, install, uninstall } from './command.js'
import { createDebian, photograph, put, updateInside, whyNoDebian, withoutTimes } from './scratch-root.js'

const BUNDLE = 'etc/ssl/certs/ca-certificates.crt'
const skip = whyNoDebian() ?? false

describe("with Debian's own update command", { concurrency: 2, timeout: 1_800_000, skip }, () => {
  const scope = new SharedScope()
  let ca: TestCa
  let publicCa: TestCa
  let caFile: string
  let leafFile: string

  before(async () => {
    ca = await createTestCa('interception root')
    publicCa = await createTestCa('public root')
    const folder = createTempDirectory(scope, 'ca')
    caFile = join(folder, 'ca.pem')
    leafFile = join(folder, 'leaf.pem')
    writeFileSync(caFile, ca.rootPem)
    writeFileSync(leafFile, (await ca.serverCertificate('api.example.test')).cert)
  })
  after(() => scope.end())

  const debian = (t: Scope): string => createDebian(t, { 'mozilla/public.crt': publicCa.rootPem })

  function verify(t: Scope, ...args: string[]): Promise<Outcome> {
    const all = ['verify', '-no-CAstore', ...args, leafFile]
    return run(t, 'openssl', all, { env: { PATH: process.env.PATH } })
  }

  it('openssl trusts the CA by bundle and by folder, and no more when it is uninstalled', async (t) => {
    const root = debian(t)
    const empty = photograph(root)
    const byFile = ['-no-CApath', '-CAfile', join(root, BUNDLE)]
    // The hashed links name paths of the tree itself.
    const byFolder = ['-no-CAfile', '-CApath', join(root, 'etc/ssl/certs')]
    assert.notEqual((await verify(t, ...byFile)).exitCode, 0)
    const [system] = await install(t, root, caFile)
    assert.deepEqual(system, { store: 'system', path: '/usr/local/share/ca-certificates', status: 'installed' })
    const { exitCode, stderr } = await verify(t, ...byFile)
    assert.equal(exitCode, 0, stderr)
    const inside = await run(t, 'chroot', [root, '/usr/bin/openssl', 'verify', '-CApath', '/etc/ssl/certs'], {
      env: { PATH: process.env.PATH },
      input: readFileSync(leafFile, 'utf8'),
    })
    assert.match(inside.stdout, /^stdin: OK$/m)
    const installed = photograph(root)
    const [again] = await install(t, root, caFile)
    assert.equal(again?.status, 'already there')
    assertSameTree(root, installed)
    await uninstall(t, root)
    assertSameTree(root, empty)
    assert.notEqual((await verify(t, ...byFile)).exitCode, 0)
    assert.notEqual((await verify(t, ...byFolder)).exitCode, 0)
  })

  it('another CA that came in between stays, and its bundle is made anew', async (t) => {
    const root = debian(t)
    await install(t, root, caFile)
    put(root, 'usr/local/share/ca-certificates/corporate.crt', (await createTestCa('corporate root')).rootPem)
    updateInside(root)
    const [system] = await uninstall(t, root)
    assert.equal(system?.seen, 'what others have changed since was kept')
    const { certificates } = parseCertificates(readFileSync(join(root, BUNDLE), 'latin1'))
    assert.deepEqual(
      certificates.map(({ subject }) => subject),
      ['CN=public root', 'CN=corporate root'],
    )
    assert.deepEqual(
      readdirSync(join(root, 'etc/ssl/certs')).filter((name) => name.endsWith('.pem')),
      ['corporate.pem', 'public.pem'],
    )
    assert.ok(!existsSync(join(root, 'var/lib/ccr-upstream-proxy')))
  })

  it('the update command may be run again in between', async (t) => {
    const root = debian(t)
    const empty = photograph(root)
    await install(t, root, caFile)
    updateInside(root)
    await uninstall(t, root)
    assert.deepEqual(withoutTimes(photograph(root)), withoutTimes(empty))
  })

  it('an image whose command could not be run at first is cleaned with the command', async (t) => {
    const root = debian(t)
    const null_ = join(root, 'dev/null')
    rmSync(null_)
    const empty = Object.keys(photograph(root)).filter((path) => path !== 'dev/null')
    const [system] = await install(t, root, caFile)
    assert.deepEqual([system?.status, system?.hint], ['installed', 'run update-ca-certificates in the image'])
    assert.match(system?.seen ?? '', /it has no \/dev\/null$/)
    assert.ok(!existsSync(null_))
    await makeNull(t, root)
    updateInside(root)
    assert.match((await verify(t, '-no-CApath', '-CAfile', join(root, BUNDLE))).stdout, /OK/)
    // As long as the command cannot be run, the CA stays in the bundle, and that is a failure.
    rmSync(null_)
    for (let turn = 0; turn < 2; turn++) {
      const answer = await ask(t, ['uninstall-ca', '--root', root])
      assert.deepEqual([answer.exitCode, answer.stores[0]?.code], [1, 'store-changed'])
    }
    await makeNull(t, root)
    await uninstall(t, root)
    assert.deepEqual(
      Object.keys(photograph(root)).filter((path) => path !== 'dev/null'),
      empty,
    )
    assert.notEqual((await verify(t, '-no-CApath', '-CAfile', join(root, BUNDLE))).exitCode, 0)
  })

  it('a bundle that still holds the CA and cannot be made anew is a failure', async (t) => {
    const root = debian(t)
    await install(t, root, caFile)
    writeFileSync(join(root, BUNDLE), `${readFileSync(join(root, BUNDLE), 'utf8')}\n# theirs\n`)
    rmSync(join(root, 'dev/null'))
    const answer = await ask(t, ['uninstall-ca', '--root', root])
    assert.deepEqual([answer.exitCode, answer.stores[0]?.code], [1, 'store-changed'])
    assert.match(readFileSync(join(root, BUNDLE), 'utf8'), /# theirs/)
    await makeNull(t, root)
    await uninstall(t, root)
    assert.equal(parseCertificates(readFileSync(join(root, BUNDLE), 'latin1')).certificates.length, 1)
  })

  async function makeNull(t: Scope, root: string): Promise<void> {
    const args = ['-m', '666', join(root, 'dev/null'), 'c', '1', '3']
    assert.equal((await run(t, 'mknod', args, { env: { PATH: process.env.PATH } })).exitCode, 0)
  }

  /** Makes the update command do something else first; what it is then comes after it. */
  function prepend(root: string, line: string): void {
    const file = join(root, 'usr/sbin/update-ca-certificates')
    writeFileSync(file, readFileSync(file, 'utf8').replace('\n', `\n${line}\n`))
  }

  it('a command that fails is a failure, and is undone', async (t) => {
    const root = debian(t)
    prepend(root, 'echo half > /etc/ssl/certs/ca-certificates.crt; echo "no way" >&2; exit 3')
    const empty = photograph(root)
    const answer = await ask(t, ['install-ca', '--root', root, '--ca-file', caFile, '--only', 'system'])
    assert.deepEqual([answer.exitCode, answer.stores[0]?.code], [1, 'store-update-failed'])
    assert.match(answer.stores[0]?.seen ?? '', /no way/)
    await uninstall(t, root)
    assertSameTree(root, empty)
  })

  for (const signal of ['KILL', 'INT', 'TERM'] as const) {
    it(`SIG${signal} while the command runs leaves what can be undone`, async (t) => {
      const root = debian(t)
      // The command's parent is install-ca: chroot(8) becomes the command.
      prepend(
        root,
        `echo half > /etc/ssl/certs/ca-certificates.crt; : > /etc/ssl/certs/new; kill -${signal} $PPID; exit 1`,
      )
      const empty = photograph(root)
      const { signal: end } = await call(t, ['install-ca', '--root', root, '--ca-file', caFile, '--only', 'system'])
      assert.equal(end, `SIG${signal}`)
      assert.equal(readFileSync(join(root, BUNDLE), 'utf8'), 'half\n')
      await uninstall(t, root)
      assertSameTree(root, empty)
    })
  }

  it("the command runs with nothing of the caller's environment", async (t) => {
    const root = debian(t)
    prepend(root, 'set > /etc/ssl/certs/environment')
    const empty = photograph(root)
    const env = { CCR_TEST_SECRET: 'sentinel-secret', LD_PRELOAD: '' }
    await call(t, ['install-ca', '--root', root, '--ca-file', caFile, '--only', 'system'], { env })
    const seen = readFileSync(join(root, 'etc/ssl/certs/environment'), 'utf8')
    assert.match(seen, /TMPDIR='\/var\/lib\/ccr-upstream-proxy'/)
    assert.ok(!seen.includes('sentinel-secret'))
    await uninstall(t, root)
    assertSameTree(root, empty)
  })

  // Their own commands need p11-kit's modules of the distribution; a script stands in their place, so that what they
  // generate, where they generate it, and how that is put back is the same.
  const OTHERS = [
    {
      name: 'Fedora',
      anchors: '/etc/pki/ca-trust/source/anchors',
      program: '/usr/bin/update-ca-trust',
      bundle: '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
    },
    {
      name: 'openSUSE',
      anchors: '/etc/pki/trust/anchors',
      program: '/usr/sbin/update-ca-certificates',
      bundle: '/var/lib/ca-certificates/ca-bundle.pem',
    },
    {
      name: 'Arch Linux',
      anchors: '/etc/ca-certificates/trust-source/anchors',
      program: '/usr/bin/trust',
      bundle: '/etc/ca-certificates/extracted/tls-ca-bundle.pem',
    },
  ]
  for (const { name, anchors, program, bundle } of OTHERS) {
    it(`${name}'s trees are put back to the byte`, async (t) => {
      const root = debian(t)
      for (const folder of [anchors, join(bundle, '..'), '/etc/pki/tls/certs'])
        mkdirSync(join(root, folder), { recursive: true })
      writeFileSync(join(root, bundle), publicCa.rootPem, { mode: 0o444 })
      symlinkSync(bundle, join(root, '/etc/pki/tls/certs/ca-bundle.crt'))
      const script = `#!/bin/sh -e\ncat ${anchors}/* >> ${bundle}.new\nmv ${bundle}.new ${bundle}\nln -sf ${bundle} ${bundle}.link\n`
      put(root, program, script)
      chmodSync(join(root, program), 0o755)
      const empty = photograph(root)
      const [system] = await install(t, root, caFile)
      assert.deepEqual(system, { store: 'system', path: anchors, status: 'installed' })
      assert.match((await verify(t, '-no-CApath', '-CAfile', join(root, bundle))).stdout, /OK/)
      await uninstall(t, root)
      assertSameTree(root, empty)
    })
  }
})
