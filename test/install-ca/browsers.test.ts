// A page over HTTPS in the browsers themselves. The paths of their policies are fixed, so that the tree's take their place in
// a mount namespace of the browser's own: the machine's stay as they are.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type Outcome, run } from '../support/cli-process.js'
import { type HttpsOrigin, startHttpsOrigin } from '../support/https-origin.js'
import { createTempDirectory, type Scope, SharedScope } from '../support/temp-dir.js'
import { createTestCa, type TestCa } from '../support/test-ca.js'
import { assertSameTree, install, uninstall } from './command.js'
import { createTree, photograph } from './scratch-root.js'

const HOST = 'api.example.test'

function whyNot(browser: string, policies: string): string | false {
  if (process.platform !== 'linux' || process.geteuid?.() !== 0) return 'only root can make a mount namespace'
  if (spawnSync('sh', ['-c', `command -v ${browser}`]).status !== 0) return `${browser} is not installed`
  if (!existsSync(policies)) return `${policies} is not there to be covered`
  return spawnSync('unshare', ['--mount', 'true']).status === 0 ? false : 'unshare(1) cannot make a mount namespace'
}

describe('a browser', { timeout: 300_000 }, () => {
  const scope = new SharedScope()
  let ca: TestCa
  let caFile: string
  let origin: HttpsOrigin

  before(async () => {
    ca = await createTestCa('interception root')
    caFile = join(createTempDirectory(scope, 'ca'), 'ca.pem')
    writeFileSync(caFile, ca.rootPem)
    origin = await startHttpsOrigin(await ca.serverCertificate(HOST))
    scope.after(() => origin.close())
  })
  after(() => scope.end())

  /** Runs a browser to whom `policies` is what the tree has there. */
  function browse(t: Scope, root: string, policies: string, command: readonly string[]): Promise<Outcome> {
    const script = 'mount --bind "$1" "$2" && shift 2 && exec timeout 120 "$@"'
    const args = ['--mount', 'sh', '-c', script, 'sh', join(root, policies), policies, ...command]
    const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: createTempDirectory(t, 'home') }
    return run(t, 'unshare', args, { env })
  }

  it('Chromium loads a page with the CA of the policy', { skip: whyNot('chromium', '/etc/chromium') }, async (t) => {
    const root = createTree(t, { 'usr/bin/chromium': '', 'var/lib': 'folder' })
    cpSync('/etc/chromium', join(root, 'etc/chromium'), {
      recursive: true,
      filter: (path) => !path.startsWith('/etc/chromium/policies'),
    })
    mkdirSync(join(root, 'etc/chromium/policies/managed'), { recursive: true })
    const empty = photograph(root)
    const load = (): Promise<Outcome> =>
      browse(t, root, '/etc/chromium', [
        'chromium',
        ...'--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking'.split(
          ' ',
        ),
        ...'--disable-component-update --disable-sync --dump-dom --timeout=60000'.split(' '),
        `--user-data-dir=${createTempDirectory(t, 'profile')}`,
        `--host-resolver-rules=MAP ${HOST} 127.0.0.1`,
        `https://${HOST}:${origin.port}/page`,
      ])
    const pagesSeen = (): number => origin.requests.filter(({ path }) => path === '/page').length
    const refused = await load()
    assert.equal(pagesSeen(), 0, refused.stdout)
    await install(t, root, caFile, '--only', 'chromium')
    const { stdout, stderr } = await load()
    assert.equal(pagesSeen(), 1, stderr)
    assert.match(stdout, /"path":"\/page"/)
    await uninstall(t, root)
    assertSameTree(root, empty)
    await load()
    assert.equal(pagesSeen(), 1)
  })
})
