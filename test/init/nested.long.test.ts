// A start in the midst of another relay's children: their variables name that relay and its bundle, and what the container itself
// had is to be found behind them.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { startScriptedProxy, tunnelBehind } from '../support/egress-proxy.js'
import {
  type DisabledReport,
  type EnabledReport,
  parseWarnings,
  type Report,
  startInit,
} from '../support/proxy-process.js'
import { createSession, type Session, startSystem } from '../support/system.js'
import { type Scope, SharedScope } from '../support/temp-dir.js'
import { createTestCa } from '../support/test-ca.js'
import { chooseActor } from '../support/unprivileged.js'

const GATEWAY_HOST = 'gateway.example.test'

describe('a start among the children of another', { timeout: 1_800_000 }, () => {
  const setup = new SharedScope()
  const actor = chooseActor(setup)
  after(() => setup.end())

  async function start(t: Scope, session: Session, env: Readonly<Record<string, string | undefined>> = {}) {
    const child = startInit(t, actor, session, { env })
    return { child, report: await child.next<Report>() }
  }

  /** A session of another token in the first one's place, with the environment of its children. */
  function within(t: Scope, outer: Session, env: Readonly<Record<string, string>>): Session {
    const inner = createSession(t, actor, {})
    const { CCR_SESSION_TOKEN_PATH = '' } = inner.env
    return { ...inner, env: { ...outer.env, ...env, CCR_SESSION_TOKEN_PATH } }
  }

  function readRecord({ temporary }: Session, port: number): string {
    const texts = readdirSync(temporary).map((folder) =>
      readFileSync(join(temporary, folder, 'record', 'relay.json'), 'utf8'),
    )
    return texts.find((text) => (JSON.parse(text) as { port: number }).port === port) ?? ''
  }

  it("goes to the gateway through the container's own egress proxy, and so does one within it", async (t) => {
    const { gateway, environment } = await startSystem(t, { gatewayHost: GATEWAY_HOST })
    // No DNS knows the gateway: only the proxy does.
    const pass = tunnelBehind('HTTP/1.1 200 OK\r\n\r\n')
    const proxy = await startScriptedProxy((socket) => pass(socket, `CONNECT 127.0.0.1:${gateway.port} HTTP/1.1`))
    t.after(() => proxy.close())
    let session = createSession(t, actor, { ...environment, HTTPS_PROXY: `http://127.0.0.1:${proxy.port}` })
    const relays: EnabledReport[] = []
    for (let depth = 0; depth < 3; depth++) {
      const heads = proxy.heads.length
      const { child, report } = await start(t, session)
      assert.equal(report.enabled, true, child.stderr)
      assert.equal(child.stderr, '')
      assert.ok(proxy.heads.length > heads, 'the proxy was not asked')
      relays.push(report)
      session = within(t, session, report.env as Record<string, string>)
    }
    assert.equal(new Set(relays.map(({ port }) => port)).size, 3)
  })

  it('leaves the password of the egress proxy out of what it writes down', async (t) => {
    const { gateway, environment } = await startSystem(t, { gatewayHost: GATEWAY_HOST })
    const pass = tunnelBehind('HTTP/1.1 200 OK\r\n\r\n')
    const proxy = await startScriptedProxy((socket, head) => {
      if (/^Proxy-Authorization: /m.test(head)) pass(socket, `CONNECT 127.0.0.1:${gateway.port} HTTP/1.1`)
      else socket.end('HTTP/1.1 407 Who are you\r\n\r\n')
    })
    t.after(() => proxy.close())
    const HTTPS_PROXY = `http://user:pass-word@127.0.0.1:${proxy.port}`
    const session = createSession(t, actor, { ...environment, HTTPS_PROXY })
    const { report } = await start(t, session)
    assert.equal(report.enabled, true)
    const record = readRecord(session, report.port as number)
    assert.ok(record.includes(`http://127.0.0.1:${proxy.port}/`) && !record.includes('pass-word'))
    // So that one within it says what it lacks, instead of asking the relay.
    const inner = await start(t, within(t, session, report.env as Record<string, string>))
    assert.equal((inner.report as DisabledReport).code, 'egress-authentication-required')
  })

  it('does not trust the gateway with what the gateway itself has signed', async (t) => {
    const onlyCa = await createTestCa('interception root')
    const { environment } = await startSystem(t, { gatewayCa: onlyCa, interceptionCa: onlyCa })
    const session = createSession(t, actor, environment)
    const { report } = await start(t, session)
    assert.equal(report.enabled, true)
    const inner = within(t, session, report.env as Record<string, string>)
    const { child } = await start(t, inner, { CCR_UPSTREAM_PROXY_GATEWAY_CA: undefined })
    assert.deepEqual(
      parseWarnings(child.stderr).map(({ code }) => code),
      ['gateway-tls-failed'],
    )
  })
})
