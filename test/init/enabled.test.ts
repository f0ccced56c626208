// The start that succeeds: what children get, what lies on the disk, when the token file goes, and what close() leaves.

import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { chmodSync, existsSync, readFileSync, statSync, watch, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { startCaServer } from '../support/ca-server.js'
import { freePort } from '../support/listening.js'
import {
  type DisabledReport,
  type EnabledReport,
  type InitStart,
  type Looks,
  parseWarnings,
  type Report,
  startInit,
} from '../support/proxy-process.js'
import { createSession, type Session, type System, startSystem, TOKEN } from '../support/system.js'
import { type Scope, SharedScope } from '../support/temp-dir.js'
import { createTestCa } from '../support/test-ca.js'
import { chooseActor, listTree } from '../support/unprivileged.js'

const setup = new SharedScope()
const actor = chooseActor(setup)

/** What DESIGN.md names. */
const NAMED = [
  ...['HTTPS_PROXY', 'https_proxy', 'NO_PROXY', 'no_proxy', 'SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS'],
  ...['REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE', 'GIT_SSL_CAINFO'],
]

describe('a start that succeeds', { concurrency: 2, timeout: 600_000 }, () => {
  let system: System

  before(async () => {
    system = await startSystem(setup)
  })
  after(() => setup.end())

  async function start(t: Scope, options: InitStart & { spoil?: (session: Session) => void } = {}) {
    const session = createSession(t, actor, system.environment)
    options.spoil?.(session)
    const child = startInit(t, actor, session, options)
    const report = await child.next<Report & EnabledReport>()
    assert.equal(report.enabled, true, child.stderr)
    return { session, child, report }
  }

  it('gives children of the level default exactly the proxy, the bundle and the switches', async (t) => {
    const { report, child } = await start(t, { env: { CCR_UPSTREAM_PROXY_ENV: 'default' } })
    const { env, port, proxyUrl, caBundlePath } = report
    assert.equal(proxyUrl, `http://127.0.0.1:${port}`)
    assert.deepEqual(
      NAMED.filter((name) => env[name] === undefined),
      [],
    )
    const git = ['http.version', 'HTTP/1.1']
    const targets = new Set([proxyUrl, caBundlePath, env.NODE_EXTRA_CA_CERTS, env.NO_PROXY, '1', ...git])
    assert.deepEqual(
      Object.entries(env).filter(([, value]) => !targets.has(value)),
      [],
    )
    for (const name of ['HTTPS_PROXY', 'https_proxy']) assert.equal(env[name], proxyUrl)
    for (const name of ['SSL_CERT_FILE', 'REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE', 'GIT_SSL_CAINFO']) {
      assert.equal(env[name], caBundlePath)
    }
    const neverNames = Object.keys(env).filter((name) => /^(?:http_proxy|all_proxy|ftp_proxy)$/i.test(name))
    assert.deepEqual(neverNames, [])
    assert.ok(!JSON.stringify(env).includes(TOKEN))
    assert.equal(child.stderr, '')
  })

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
    assert.deepEqual(subjects.sort(), ['CN=company root', 'CN=interception root', 'CN=public root'])
  })

  it("writes the system's certificates and the gateway's CA in one bundle, and the CA alone in another", async (t) => {
    const { report } = await start(t)
    assert.deepEqual(subjectsOf(report.caBundlePath).sort(), ['CN=interception root', 'CN=public root'])
    assert.deepEqual(subjectsOf(report.env.NODE_EXTRA_CA_CERTS ?? ''), ['CN=interception root'])
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
    assert.deepEqual(subjectsOf(caBundlePath).sort(), ['CN=public root', 'CN=short root'])
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
    assert.deepEqual(lasting(caBundlePath).sort(), ['CN=public root', 'CN=some root'])
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
  ] as const) {
    it(`stays off where ${name} is not understood, and names it`, async (t) => {
      const session = createSession(t, actor, system.environment)
      const report = await startInit(t, actor, session, { env: { [name]: value } }).next<Report & DisabledReport>()
      assert.deepEqual([report.enabled, report.code], [false, 'config-invalid'])
      assert.match(report.reason, new RegExp(name))
    })
  }

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

  it('removes the token file only when the relay listens', async (t) => {
    const caServer = await startCaServer(t)
    const session = createSession(t, actor, {
      ...system.environment,
      CCR_UPSTREAM_PROXY_URL: `${caServer.url}/held`,
    })
    const port = await freePort()
    const child = startInit(t, actor, session, { options: { port } })
    const release = await caServer.held
    assert.ok(existsSync(session.tokenFile), 'the token file went before the CA was there')
    const listensWhenGone = new Promise<boolean>((resolve) => {
      const watcher = watch(session.directory, () => {
        if (existsSync(session.tokenFile)) return
        watcher.close()
        const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false))
        t.after(() => void socket.destroy())
      })
    })
    release()
    assert.equal(await listensWhenGone, true)
    const report = await child.next<Report & EnabledReport>()
    assert.deepEqual(report.listening, [port])
  })

  for (const command of ['close', 'dispose']) {
    it(`leaves no file, no socket and nothing to wait for after ${command}`, async (t) => {
      const { session, child } = await start(t)
      assert.notDeepEqual(listTree(session.temporary), [])
      await child.ask(command)
      const { listening } = await child.ask<Looks>('look')
      assert.deepEqual(listening, [])
      assert.deepEqual(listTree(session.temporary), [])
      child.endInput()
      const { exitCode, stderr } = await child.ended
      assert.equal(stderr, '')
      assert.equal(exitCode, 0)
    })
  }

  it('removes its files when the process ends without close', async (t) => {
    const { session, child } = await start(t)
    child.write('no-such-command\n')
    await child.ended
    assert.deepEqual(listTree(session.temporary), [])
  })

  it('has the token nowhere that can be printed, read or listed', async (t) => {
    const { session, child, report } = await start(t, { env: { CCR_UPSTREAM_PROXY_LOG: 'debug' } })
    const revealed = await child.ask<Record<string, string>>('reveal')
    assert.match(revealed.inspected ?? '', /proxyUrl/)
    const files = [report.caBundlePath, report.env.NODE_EXTRA_CA_CERTS ?? ''].map((file) => readFileSync(file, 'utf8'))
    const { stdout, stderr } = child
    assert.match(stderr, /debug/)
    const commandLine = process.platform === 'linux' ? readFileSync(`/proc/${child.pid}/cmdline`, 'latin1') : ''
    const everything = [
      stdout,
      stderr,
      commandLine,
      ...files,
      ...listTree(session.directory),
      ...Object.values(revealed),
    ]
    const forms = [TOKEN, Buffer.from(TOKEN).toString('base64').slice(0, 40), Buffer.from(TOKEN).toString('hex')]
    for (const form of forms) assert.ok(!everything.join('\n').includes(form))
  })
})

function subjectsOf(file: string): string[] {
  const blocks = readFileSync(file, 'utf8').match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? []
  return blocks.map((block) => new X509Certificate(block).subject)
}

function codesOf(stderr: string): string[] {
  return parseWarnings(stderr).map(({ code }) => code)
}
