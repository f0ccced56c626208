// A page over HTTPS in the browsers themselves. The paths of their policies are fixed, so that the tree's take their place in
// a mount namespace of the browser's own: the machine's stay as they are.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { systemCode } from '#src/errors.js'
import { RunningProcess } from '../support/cli-process.js'
import { listen } from '../support/listening.js'
import { createTempDirectory, type Scope, SharedScope } from '../support/temp-dir.js'
import { createTestCa, type TestCa } from '../support/test-ca.js'
import { assertSameTree, install, uninstall } from './command.js'
import { createTree, photograph } from './scratch-root.js'

const HOST = 'api.example.test'

/** Why the browser cannot be tested. */
function whyNot(browser: string): string | false {
  if (process.platform !== 'linux' || process.geteuid?.() !== 0) return 'only root can make a mount namespace'
  if (spawnSync('sh', ['-c', `command -v ${browser}`]).status !== 0) return `${browser} is not installed`
  const script = `mount -t overlay overlay -o lowerdir=${tmpdir()}:/etc /etc`
  return spawnSync('unshare', ['--mount', 'sh', '-c', script]).status === 0 ? false : 'an overlay cannot be mounted'
}

describe('a browser', { timeout: 1_800_000 }, () => {
  const scope = new SharedScope()
  let ca: TestCa
  let caFile: string

  before(async () => {
    ca = await createTestCa('interception root')
    caFile = join(createTempDirectory(scope, 'ca'), 'ca.pem')
    writeFileSync(caFile, ca.rootPem)
  })
  after(() => scope.end())

  /** Starts a browser to whom the tree's folders in /etc lie over the machine's. */
  function browse(t: Scope, root: string, command: readonly string[]): RunningProcess {
    const script = 'mount -t overlay overlay -o lowerdir="$1":/etc /etc && shift && exec timeout -k 10 120 "$@"'
    const args = ['--mount', 'sh', '-c', script, 'sh', join(root, 'etc'), ...command]
    const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: createTempDirectory(t, 'home') }
    return new RunningProcess(t, 'unshare', args, { env, input: '' })
  }

  interface Visit {
    readonly sign: string
    readonly store: string
    readonly command: (profile: string, port: number) => readonly string[]
  }

  /** A server, and what the next browser to come makes of its certificate. */
  async function startPage(t: Scope): Promise<{ port: number; verdict: () => Promise<'trusted' | 'refused'> }> {
    const server = createServer(await ca.serverCertificate(HOST, 'localhost'))
    server.on('request', (_request, response: ServerResponse) => response.end('<!doctype html><p>hello'))
    const { port } = await listen(t, server)
    const verdict = (): Promise<'trusted' | 'refused'> =>
      new Promise((resolve) => {
        server.once('request', () => resolve('trusted'))
        // The alert of a client that does not accept the certificate (RFC 8446, section 6.2).
        server.on('tlsClientError', (error) => {
          if (/ALERT_(?:UNKNOWN_CA|CERTIFICATE_UNKNOWN|BAD_CERTIFICATE)/.test(systemCode(error))) resolve('refused')
        })
      })
    return { port, verdict }
  }

  /** Refused before the CA is installed, trusted while it is, refused when it is gone. */
  async function assertTrusts(t: Scope, { sign, store, command }: Visit): Promise<void> {
    const page = await startPage(t)
    const root = createTree(t, { [sign]: '', etc: 'folder', 'var/lib': 'folder' })
    const empty = photograph(root)
    const visit = async (): Promise<string> => {
      const verdict = page.verdict()
      const browser = browse(t, root, command(createTempDirectory(t, 'profile'), page.port))
      const seen = await Promise.race([verdict, browser.ended.then(({ stderr }) => stderr)])
      browser.kill('SIGTERM')
      await browser.ended
      return seen
    }
    assert.equal(await visit(), 'refused')
    await install(t, root, caFile, '--only', store)
    assert.equal(await visit(), 'trusted')
    await uninstall(t, root)
    assertSameTree(root, empty)
    assert.equal(await visit(), 'refused')
  }

  it('Chromium loads a page with the CA of the policy', { skip: whyNot('chromium') }, (t) =>
    assertTrusts(t, {
      sign: 'usr/bin/chromium',
      store: 'chromium',
      command: (profile, port) => [
        'chromium',
        ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
        ...['--disable-background-networking', '--disable-component-update', '--dump-dom', '--timeout=60000'],
        `--user-data-dir=${profile}`,
        `--host-resolver-rules=MAP ${HOST} 127.0.0.1`,
        `https://${HOST}:${port}/page`,
      ],
    }),
  )

  it('Firefox loads a page with the CA of the policy', { skip: whyNot('firefox-esr') }, (t) =>
    assertTrusts(t, {
      sign: 'usr/bin/firefox-esr',
      store: 'firefox',
      command: (profile, port) => [
        ...['firefox-esr', '--headless', '--no-remote', '--profile', profile],
        ...['--screenshot', join(profile, 'page.png'), `https://localhost:${port}/page`],
      ],
    }),
  )
})
