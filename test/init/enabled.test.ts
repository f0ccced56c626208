// The start that succeeds: what children get, what lies on the disk, when the token file goes, and what close() leaves. What it makes
// of what the container has set, and how it warns, is in enabled.long.test.ts.

import assert from 'node:assert/strict'
import { existsSync, readFileSync, watch } from 'node:fs'
import { connect } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { startCaServer } from '../support/ca-server.js'
import { freePort } from '../support/listening.js'
import { type EnabledReport, type Looks, type Report, startInit } from '../support/proxy-process.js'
import { createSession, type System, startSystem, TOKEN } from '../support/system.js'
import { type Scope, SharedScope } from '../support/temp-dir.js'
import { chooseActor, listTree } from '../support/unprivileged.js'
import { startEnabled, subjectsOf } from './enabled-start.js'

const setup = new SharedScope()
const actor = chooseActor(setup)

/** What DESIGN.md names. */
const NAMED = [
  ...['HTTPS_PROXY', 'https_proxy', 'NO_PROXY', 'no_proxy', 'SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS'],
  ...['REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE', 'GIT_SSL_CAINFO'],
]

describe('a start that succeeds', { concurrency: 2, timeout: 1_800_000 }, () => {
  let system: System

  before(async () => {
    system = await startSystem(setup)
  })
  after(() => setup.end())

  const start = (t: Scope, options: Parameters<typeof startEnabled>[3] = {}) => startEnabled(t, actor, system, options)

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

  it("writes the system's certificates and the gateway's CA in one bundle, and the CA alone in another", async (t) => {
    const { report } = await start(t)
    assert.deepEqual(subjectsOf(report.caBundlePath).sort(), ['CN=interception root', 'CN=origin root'])
    assert.deepEqual(subjectsOf(report.env.NODE_EXTRA_CA_CERTS ?? ''), ['CN=interception root'])
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
