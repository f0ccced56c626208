// An installation, or its undoing, that is killed at any point can still be undone; and what others have changed since is
// kept.

import assert from 'node:assert/strict'
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { CLI_FILE } from '../support/cli-process.js'
import { IS_LARGE } from '../support/runtimes.js'
import { createTempDirectory, type Scope, SharedScope } from '../support/temp-dir.js'
import { createTestCa } from '../support/test-ca.js'
import { ask, assertSameTree, call, install, statuses, uninstall } from './command.js'
import { createTree, type Layout, photograph, put, withoutTimes } from './scratch-root.js'

const JOURNAL = 'var/lib/ccr-upstream-proxy/install-ca.json'
const POLICIES = '{"policies":   {"DisableTelemetry": true}}'

const TREE: Layout = {
  'usr/local/share/ca-certificates': 'folder',
  'usr/bin/chromium': '',
  'usr/bin/firefox': '',
  'etc/firefox/policies/policies.json': POLICIES,
  'srv/data': 'not ours',
}

/** Kills the process behind the given call that changes the file system, counted from 1. */
function killer(count: number): string {
  const code = `
    import fs, { writeSync } from 'node:fs'
    import { syncBuiltinESMExports } from 'node:module'
    let left = ${count}
    for (const name of ['renameSync', 'mkdirSync', 'unlinkSync', 'rmdirSync', 'lutimesSync']) {
      const original = fs[name]
      fs[name] = (...args) => {
        const result = original(...args)
        if (--left === 0) process.kill(process.pid, 'SIGKILL')
        return result
      }
    }
    syncBuiltinESMExports()`
  return `data:text/javascript,${encodeURIComponent(code)}`
}

/** Every change in full size, every third otherwise. */
const STRIDE = IS_LARGE ? 1 : 3

describe('install-ca that is interrupted', { concurrency: 2, timeout: 1_800_000 }, () => {
  const scope = new SharedScope()
  let caFile: string
  let nextFile: string

  before(async () => {
    const folder = createTempDirectory(scope, 'ca')
    chmodSync(folder, 0o755)
    caFile = join(folder, 'ca.pem')
    nextFile = join(folder, 'next.pem')
    writeFileSync(caFile, (await createTestCa('interception root')).rootPem)
    writeFileSync(nextFile, (await createTestCa('next root')).rootPem)
  })
  after(() => scope.end())

  /** Runs the command until it is killed at the given point; whether it was. */
  async function runKilled(t: Scope, args: readonly string[], count: number): Promise<boolean> {
    const program = [process.execPath, '--import', killer(count), CLI_FILE]
    const { signal, exitCode } = await call(t, args, { program })
    if (signal === 'SIGKILL') return true
    assert.equal(exitCode, 0)
    return false
  }

  it('is undone wherever it was killed', async (t) => {
    let points = 0
    for (let count = 1; ; count += STRIDE) {
      const root = createTree(t, TREE)
      const empty = withoutTimes(photograph(root))
      const wasKilled = await runKilled(t, ['install-ca', '--root', root, '--ca-file', caFile], count)
      await uninstall(t, root)
      assert.ok(!existsSync(join(root, JOURNAL)))
      // Before there is a journal, nothing says whose the empty folder for it is.
      rmSync(join(root, 'var'), { recursive: true, force: true })
      assert.deepEqual(withoutTimes(photograph(root)), empty, `killed after change ${count}`)
      if (!wasKilled) break
      points = count
    }
    assert.ok(points > 15, `only ${points} points`)
  })

  it('goes on where it was killed when it is called again', async (t) => {
    for (let count = 2; ; count += 4 * STRIDE) {
      const root = createTree(t, { ...TREE, 'var/lib': 'folder' })
      const empty = withoutTimes(photograph(root))
      const wasKilled = await runKilled(t, ['install-ca', '--root', root, '--ca-file', caFile], count)
      await install(t, root, caFile)
      await uninstall(t, root)
      assert.deepEqual(withoutTimes(photograph(root)), empty)
      if (!wasKilled) break
    }
  })

  it('is undone when the undoing was killed as well', async (t) => {
    for (let count = 1; ; count += 4 * STRIDE) {
      const root = createTree(t, { ...TREE, 'var/lib': 'folder' })
      const empty = withoutTimes(photograph(root))
      await install(t, root, caFile)
      const wasKilled = await runKilled(t, ['uninstall-ca', '--root', root], count)
      await uninstall(t, root)
      rmSync(join(root, 'var/lib/ccr-upstream-proxy'), { recursive: true, force: true })
      assert.deepEqual(withoutTimes(photograph(root)), empty, `killed after change ${count}`)
      if (!wasKilled) break
    }
  })

  describe('and what others have changed since', () => {
    it('is kept in a policy file, without our part', async (t) => {
      const root = createTree(t, TREE)
      await install(t, root, caFile)
      const file = join(root, 'etc/firefox/policies/policies.json')
      const edited = JSON.parse(readFileSync(file, 'utf8')) as { policies: Record<string, unknown> }
      edited.policies.Homepage = { URL: 'https://example.test' }
      writeFileSync(file, JSON.stringify(edited))
      const stores = await uninstall(t, root)
      assert.equal(stores.find(({ store }) => store === 'firefox')?.seen, 'what others have changed since was kept')
      assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), {
        policies: { DisableTelemetry: true, Homepage: { URL: 'https://example.test' } },
      })
      assert.deepEqual(readdirSync(join(root, 'etc/firefox/policies')), ['policies.json'])
      assert.ok(!existsSync(join(root, 'var')))
    })

    it('is kept in the policy file that was made for us', async (t) => {
      const root = createTree(t, TREE)
      await install(t, root, caFile)
      const file = join(root, 'etc/chromium/policies/managed/ccr-upstream-proxy.json')
      const edited = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
      writeFileSync(file, JSON.stringify({ ...edited, HomepageLocation: 'https://example.test' }))
      await uninstall(t, root)
      assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), { HomepageLocation: 'https://example.test' })
    })

    it('is kept in a folder that was made for us', async (t) => {
      const root = createTree(t, TREE)
      await install(t, root, caFile)
      put(root, 'etc/chromium/policies/managed/theirs.json', '{}')
      await uninstall(t, root)
      assert.deepEqual(readdirSync(join(root, 'etc/chromium/policies/managed')), ['theirs.json'])
    })

    it('is respected where they have removed what we made', async (t) => {
      const root = createTree(t, TREE)
      const empty = withoutTimes(photograph(root))
      await install(t, root, caFile)
      rmSync(join(root, 'etc/chromium'), { recursive: true })
      rmSync(join(root, 'usr/local/share/ca-certificates'), { recursive: true })
      rmSync(join(root, 'etc/firefox'), { recursive: true })
      await uninstall(t, root)
      const gone = Object.keys(empty).filter((path) => /^etc\/firefox|ca-certificates$/.test(path))
      const expected = Object.fromEntries(Object.entries(empty).filter(([path]) => !gone.includes(path)))
      assert.deepEqual(withoutTimes(photograph(root)), expected)
    })

    for (const [what, text] of [
      ['an anchor', '-----BEGIN CERTIFICATE-----\ntheirs'],
      ['a policy file beyond recognition', '{"policies": //'],
    ] as const) {
      it(`is not destroyed in ${what}: uninstall-ca refuses, and undoes the rest`, async (t) => {
        const root = createTree(t, TREE)
        const empty = withoutTimes(photograph(root))
        await install(t, root, caFile)
        const isAnchor = what === 'an anchor'
        const folder = isAnchor ? 'usr/local/share/ca-certificates' : 'etc/firefox/policies'
        const name = isAnchor ? (readdirSync(join(root, folder))[0] as string) : 'policies.json'
        const file = join(root, folder, name)
        const ours = readFileSync(file)
        writeFileSync(file, text)
        for (let turn = 0; turn < 2; turn++) {
          const answer = await ask(t, ['uninstall-ca', '--root', root])
          const failed = answer.stores.filter(({ status }) => status === 'failed')
          assert.deepEqual([answer.exitCode, failed.map(({ code }) => code)], [1, ['store-changed']])
          assert.ok(failed[0]?.hint)
          assert.equal(readFileSync(file, 'utf8'), text)
          assert.ok(!existsSync(join(root, 'etc/chromium')))
        }
        // Once they have taken their change back, all is undone.
        writeFileSync(file, ours)
        await uninstall(t, root)
        assert.deepEqual(withoutTimes(photograph(root)), empty)
      })
    }

    it('does not let another CA be installed over it', async (t) => {
      const root = createTree(t, TREE)
      await install(t, root, caFile)
      const folder = join(root, 'usr/local/share/ca-certificates')
      writeFileSync(join(folder, readdirSync(folder)[0] as string), 'theirs')
      const answer = await ask(t, ['install-ca', '--root', root, '--ca-file', nextFile])
      assert.deepEqual([answer.exitCode, answer.code], [1, 'store-changed'])
    })

    it('comes back when our entry was taken out and installed again', async (t) => {
      const root = createTree(t, TREE)
      await install(t, root, caFile)
      const file = join(root, 'etc/firefox/policies/policies.json')
      const theirs = '{"policies":{"Homepage":{}}}'
      writeFileSync(file, theirs)
      assert.deepEqual(statuses(await install(t, root, caFile)).slice(-1), ['firefox: installed'])
      await uninstall(t, root)
      assert.equal(readFileSync(file, 'utf8'), theirs)
    })
  })

  describe('with a journal that was tampered with', () => {
    for (const [what, spoil] of [
      ['no JSON', () => '{'],
      ['of another version', (text: string) => text.replace('"format":1', '"format":2')],
      ['null', () => 'null'],
    ] as const) {
      it(`refuses one that is ${what}`, async (t) => {
        const root = createTree(t, TREE)
        await install(t, root, caFile)
        writeFileSync(join(root, JOURNAL), spoil(readFileSync(join(root, JOURNAL), 'utf8')))
        const installed = photograph(root)
        for (const args of [['uninstall-ca'], ['install-ca', '--ca-file', caFile]]) {
          const answer = await ask(t, [...args, '--root', root])
          assert.deepEqual([answer.exitCode, answer.code], [1, 'journal-invalid'])
        }
        assertSameTree(root, installed)
      })
    }

    it('does not leave the tree', async (t) => {
      const outside = createTempDirectory(t, 'outside')
      put(outside, 'victim', 'precious')
      const root = createTree(t, TREE)
      await install(t, root, caFile)
      const content = JSON.parse(readFileSync(join(root, JOURNAL), 'utf8')) as {
        records: { kind: string; path: string }[]
      }
      for (const record of content.records) {
        if (record.kind === 'file') record.path = `/../../../../../../../..${outside}/victim`
      }
      writeFileSync(join(root, JOURNAL), JSON.stringify(content))
      await ask(t, ['uninstall-ca', '--root', root])
      assert.equal(readFileSync(join(outside, 'victim'), 'utf8'), 'precious')
    })
  })
})
