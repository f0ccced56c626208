// The start that succeeds in a container that has something of its own: variables, certificates, a umask, a CA that expires.

import assert from 'node:assert/strict'
import { chmodSync, existsSync, statSync, watch, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { WebSocketServer } from 'ws'
import { startCaServer } from '../support/ca-server.js'
import { listen } from '../support/listening.js'
import { type DisabledReport, parseWarnings, type Report, startInit } from '../support/proxy-process.js'
import { createSession, type System, startSystem } from '../support/system.js'
import { type Scope, SharedScope } from '../support/temp-dir.js'
import { createTestCa } from '../support/test-ca.js'
import { chooseActor, listTree } from '../support/unprivileged.js'
import { startEnabled, subjectsOf } from './enabled-start.js'

const setup = new SharedScope()
const actor = chooseActor(setup)

describe('a start that succeeds', { concurrency: 2, timeout: 1_800_000 }, () => {
  let system: System

  before(async () => {
    system = await startSystem(setup)
  })
  after(() => setup.end())

  const start = (t: Scope, options: Parameters<typeof startEnabled>[3] = {}) => startEnabled(t, actor, system, options)

  it('merges the NO_PROXY of the container without what breaks clients', async (t) => {
    const NO_PROXY = 'internal.example, .corp.example,*,[::1],fd00::/8'
    const { report } = await start(t, { env: { NO_PROXY, no_proxy: 'other.example' } })
    const list = report.env.NO_PROXY ?? ''
    assert.equal(report.env.no_proxy, list)
    assert.doesNotMatch(list, /[\s[\]]/)
    const entries = list.split(',')
    for (const entry of ['internal.example', '.corp.example', 'other.example', '127.0.0.1', 'localhost']) {
      assert.ok(entries.includes(entry), entry)
    }
    assert.ok(!entries.includes('*'))
    assert.deepEqual(
      entries.filter((entry) => entry.includes(':') && entry.includes('/')),
      [],
    )
  })

  it('takes over CA variables of the container and keeps what they trust', async (t) => {
    const ca = await createTestCa('company root')
    const { report } = await start(t, {
      env: { COMPOSER_CAFILE: 'company.pem', CURL_CA_BUNDLE: 'company.pem' },
      spoil: ({ directory }) => {
        writeFileSync(join(directory, 'company.pem'), ca.rootPem)
        chmodSync(join(directory, 'company.pem'), 0o644)
      },
    })
    assert.equal(report.env.COMPOSER_CAFILE, report.caBundlePath)
    assert.equal(report.env.CURL_CA_BUNDLE, report.caBundlePath)
    const subjects = subjectsOf(report.caBundlePath)
    assert.deepEqual(subjects.sort(), ['CN=company root', 'CN=interception root', 'CN=origin root'])
  })

  it('writes files for all to read and for nobody else to change under any umask', async (t) => {
    const under = ['sh', '-c', 'umask 077; exec "$@"', 'sh']
    const { report } = await start(t, { under })
    for (const file of [report.caBundlePath, report.env.NODE_EXTRA_CA_CERTS ?? '']) {
      assert.equal((statSync(file).mode & 0o777).toString(8), '644')
      assert.equal((statSync(join(file, '..')).mode & 0o777).toString(8), '755')
    }
  })

  it('fetches a CA that expires again, and writes every file that holds it in place', async (t) => {
    const caServer = await startCaServer(t)
    const { report, session } = await start(t, { env: { CCR_UPSTREAM_PROXY_URL: `${caServer.url}/short` } })
    const { caBundlePath, env } = report
    const files = [caBundlePath, env.NODE_EXTRA_CA_CERTS ?? '', join(caBundlePath, '../java-trust-store.jks')]
    const inodes = files.map((file) => statSync(file).ino)
    assert.deepEqual(subjectsOf(caBundlePath).sort(), ['CN=origin root', 'CN=short root'])
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (files.some((file, index) => statSync(file).ino === inodes[index])) return
        watcher.close()
        resolve()
      }
      const watcher = watch(join(caBundlePath, '..'), look)
      look()
    })
    // The old one has expired by then on a machine that is slow (ca-renewal.test.ts has both).
    const lasting = (file: string) => subjectsOf(file).filter((subject) => subject !== 'CN=short root')
    assert.deepEqual(lasting(caBundlePath).sort(), ['CN=origin root', 'CN=some root'])
    assert.deepEqual(lasting(env.NODE_EXTRA_CA_CERTS ?? ''), ['CN=some root'])
    assert.deepEqual(
      listTree(session.temporary).filter((name) => name.includes('.new')),
      [],
    )
  })

  it('says which NO_PROXY entries it leaves out, and takes additions', async (t) => {
    const { report, child } = await start(t, {
      env: { CCR_UPSTREAM_PROXY_NO_PROXY: 'more.example,[::1]', NO_PROXY: '*' },
    })
    assert.ok(report.env.NO_PROXY?.endsWith(',more.example'))
    const warnings = parseWarnings(child.stderr)
    assert.deepEqual(
      warnings.map(({ code, message }) => `${code} ${/«(.*)»/.exec(message)?.[1]}`),
      ['no-proxy-refused [::1]', 'no-proxy-refused *'],
    )
  })

  for (const [name, value] of [
    ['CCR_UPSTREAM_PROXY_ENV', 'everything'],
    ['CCR_UPSTREAM_PROXY_GIT_HTTPS', 'git.example,a b/c'],
    ['CCR_UPSTREAM_PROXY_PING_SECONDS', '1.5'],
  ] as const) {
    it(`stays off where ${name} is not understood, and names it`, async (t) => {
      const session = createSession(t, actor, system.environment)
      const report = await startInit(t, actor, session, { env: { [name]: value } }).next<Report & DisabledReport>()
      assert.deepEqual([report.enabled, report.code], [false, 'config-invalid'])
      assert.match(report.reason, new RegExp(name))
    })
  }

  it('pings the gateway as often as CCR_UPSTREAM_PROXY_PING_SECONDS says', async (t) => {
    const ca = await createTestCa('pinged root')
    const server = createServer((_request, response) => response.end(ca.rootPem))
    const pings: number[] = []
    const pinged = new Promise<void>((resolve) => {
      new WebSocketServer({ server }).on('connection', (socket) => {
        socket.on('ping', () => void (pings.push(performance.now()) === 3 && resolve()))
      })
    })
    const { address } = await listen(t, server)
    const env = { CCR_UPSTREAM_PROXY_URL: `http://${address}`, CCR_UPSTREAM_PROXY_PING_SECONDS: '1' }
    const { report } = await start(t, { env })
    assert.ok(report.enabled)
    await pinged
    // It would take 20 s.
    assert.ok((pings[2] ?? 0) - (pings[1] ?? 0) < 15_000, pings.join())
  })

  it('merges what children need into any environment', async (t) => {
    const { child, report } = await start(t)
    const merged = await child.ask<Record<string, string>>('merge')
    assert.equal(merged.KEPT, 'kept')
    assert.equal(merged.HTTPS_PROXY, report.proxyUrl)
    assert.match(merged.NODE_OPTIONS ?? '', /^--no-warnings --require /)
  })

  it('warns of a missing system bundle and trusts the gateway alone', async (t) => {
    const { report, child } = await start(t, { env: { CCR_SYSTEM_CA_BUNDLE: '/nonexistent/bundle.pem' } })
    assert.deepEqual(codesOf(child.stderr), ['system-bundle-missing'])
    assert.deepEqual(subjectsOf(report.caBundlePath), ['CN=interception root'])
  })

  it('warns of a token that others can read', async (t) => {
    const { session, child } = await start(t, { spoil: ({ tokenFile }) => chmodSync(tokenFile, 0o644) })
    assert.deepEqual(codesOf(child.stderr), ['token-exposed'])
    assert.ok(!existsSync(session.tokenFile))
  })

  const skipReadOnly = actor.isRoot ? 'root removes files from every folder' : false
  it('warns of a token that it cannot remove', { skip: skipReadOnly }, async (t) => {
    const { child } = await start(t, { spoil: ({ directory }) => chmodSync(directory, 0o500) })
    assert.deepEqual(codesOf(child.stderr), ['token-not-unlinked'])
  })

  it('removes its files when the process ends without close', async (t) => {
    const { session, child } = await start(t)
    child.write('no-such-command\n')
    await child.ended
    assert.deepEqual(listTree(session.temporary), [])
  })
})

function codesOf(stderr: string): string[] {
  return parseWarnings(stderr).map(({ code }) => code)
}
