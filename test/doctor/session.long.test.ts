// Within a session: the relay has taken the token, its environment lies over the container's, and that is when somebody asks.
// What can be known is known then too, through the relay that runs.

import assert from 'node:assert/strict'
import { rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, it } from 'node:test'
import { CLI_FILE, RunningProcess, run } from '../support/cli-process.js'
import { startScriptedProxy, tunnelBehind } from '../support/egress-proxy.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import {
  createSession,
  DENIED_AUTHORITY,
  RULED_HOST,
  type Session,
  type System,
  startSystem,
} from '../support/system.js'
import { createTempDirectory, type Scope, SharedScope } from '../support/temp-dir.js'
import type { Actor } from '../support/unprivileged.js'
import { checkOf, type Diagnosis, diagnosisOf, failuresOf, runDoctor } from './doctor-process.js'

const TARGET = `https://${RULED_HOST}/hello`
const GATEWAY_HOST = 'gateway.example.test'
const self = { own: () => {} } as unknown as Actor
const setup = new SharedScope()
let system: System
/** On PATH: the one client of these tests. */
let bin: string

before(async () => {
  system = await startSystem(setup)
  bin = createTempDirectory(setup, 'bin')
  symlinkSync(process.execPath, join(bin, 'node'))
})
after(() => setup.end())

interface Started {
  readonly session: Session
  readonly relay: RunningProcess
  readonly port: number
  /** What its clients have. */
  readonly env: Readonly<Record<string, string>>
}

function assertTaken(diagnosis: Diagnosis, { port, relay }: Pick<Started, 'port' | 'relay'>): void {
  const { status, seen } = checkOf(diagnosis, 'token')
  assert.deepEqual([status, seen], ['pass', `taken by the relay on port ${port} (pid ${relay.pid})`])
}

describeOnEachRuntime('the doctor within a session', ({ path: runtimePath }) => {
  async function startRelay(t: Scope, environment: Readonly<Record<string, string>>): Promise<Started> {
    const session = createSession(t, self, environment)
    const relay = new RunningProcess(t, runtimePath, [CLI_FILE, 'relay', '--json'], { env: session.env })
    const { port, env } = JSON.parse((await relay.until(/^.*\n/))[0]) as Pick<Started, 'port' | 'env'>
    return { session, relay, port, env }
  }

  async function ask(t: Scope, { session }: Started, env: Readonly<Record<string, string>>, url = TARGET) {
    const args = ['--json', '--url', url]
    return diagnosisOf(await runDoctor(t, { session, args, runtimePath, env: { PATH: bin, ...env } }))
  }

  it('goes through the relay that has taken the token, and so do the clients', async (t) => {
    const started = await startRelay(t, system.environment)
    const diagnosis = await ask(t, started, started.env)
    assert.deepEqual(failuresOf(diagnosis), {})
    assertTaken(diagnosis, started)
    const { seen } = checkOf(diagnosis, 'relay')
    assert.equal(seen, `runs on http://127.0.0.1:${started.port}; 0 asked, 0 opened, refused: none`)
    for (const id of ['gateway', 'gateway-ca', 'bundle', 'connect', 'round-trip', 'clients', 'client node'])
      assert.equal(checkOf(diagnosis, id).status, 'pass', id)
    for (const id of ['token-unlink', 'relay-answers', 'upgrade']) {
      assert.equal(checkOf(diagnosis, id).status, 'skip', id)
      assert.match(checkOf(diagnosis, id).seen ?? '', /relay/)
    }
    const again = await ask(t, started, started.env)
    assert.match(checkOf(again, 'relay').seen ?? '', /; 3 asked, 3 opened, refused: none$/)
  })

  it('is right as the command of run', async (t) => {
    const { env } = createSession(t, self, system.environment)
    const doctor = [runtimePath, CLI_FILE, 'doctor', '--json', '--url', TARGET]
    const outcome = await run(t, runtimePath, [CLI_FILE, 'run', '--', ...doctor], { env: { ...env, PATH: bin } })
    const diagnosis = diagnosisOf(outcome)
    assert.deepEqual(failuresOf(diagnosis), {})
    assert.equal(checkOf(diagnosis, 'client node').status, 'pass')
  })

  it('finds the relay from outside of its environment', async (t) => {
    const started = await startRelay(t, system.environment)
    const diagnosis = await ask(t, started, {})
    assert.deepEqual(failuresOf(diagnosis), {})
    assertTaken(diagnosis, started)
    assert.equal(checkOf(diagnosis, 'client node').status, 'pass')
  })

  for (const [title, user] of [
    ["names the container's own egress proxy and bundle, not the relay's", ''],
    ['leaves the way to the gateway to the relay where only that knows the password', 'user:pass-word@'],
  ] as const) {
    it(title, async (t) => {
      const { gateway, environment } = await startSystem(t, { gatewayHost: GATEWAY_HOST })
      const { CCR_SYSTEM_CA_BUNDLE = '', ...rest } = environment
      // No DNS knows the gateway: only the proxy does.
      const pass = tunnelBehind('HTTP/1.1 200 OK\r\n\r\n')
      const proxy = await startScriptedProxy((socket, head) => {
        if (/^Proxy-Authorization: /m.test(head) === (user !== ''))
          pass(socket, `CONNECT 127.0.0.1:${gateway.port} HTTP/1.1`)
        else socket.end('HTTP/1.1 407 Who are you\r\n\r\n')
      })
      t.after(() => proxy.close())
      const HTTPS_PROXY = `http://${user}127.0.0.1:${proxy.port}`
      const started = await startRelay(t, { ...rest, HTTPS_PROXY, SSL_CERT_FILE: CCR_SYSTEM_CA_BUNDLE })
      const diagnosis = await ask(t, started, started.env)
      assert.deepEqual(failuresOf(diagnosis), {})
      assert.equal(
        checkOf(diagnosis, 'system-bundle').seen,
        `1 certificates of ${CCR_SYSTEM_CA_BUNDLE}; 0 of NODE_EXTRA_CA_CERTS`,
      )
      const { status, seen = '' } = checkOf(diagnosis, 'egress')
      if (user === '') {
        assert.equal(status, 'pass')
        assert.ok(seen.startsWith(`http://127.0.0.1:${proxy.port} lets CONNECT ${GATEWAY_HOST}:`), seen)
      } else
        assert.deepEqual([status, seen], ['skip', 'only the relay that runs knows the password of the egress proxy'])
      assert.equal(checkOf(diagnosis, 'client node').status, 'pass')
    })
  }

  it('says that the relay is stopped', async (t) => {
    const started = await startRelay(t, system.environment)
    started.relay.kill('SIGSTOP')
    const diagnosis = await ask(t, started, started.env)
    assert.deepEqual(failuresOf(diagnosis), { relay: 'status-unavailable' })
    assertTaken(diagnosis, started)
    assert.equal(checkOf(diagnosis, 'clients').status, 'skip')
  })

  it('says what the gateway has against a host, and what has become of the files of the relay', async (t) => {
    const started = await startRelay(t, system.environment)
    const denied = await ask(t, started, started.env, `https://${DENIED_AUTHORITY}/`)
    const { status, hop, seen } = checkOf(denied, 'connect')
    assert.deepEqual([status, hop], ['fail', 'gateway'])
    assert.match(seen ?? '', /^the gateway refused the tunnel to 100\.100\.100\.200:443: 403 /)
    rmSync(started.env.SSL_CERT_FILE ?? '')
    const cleaned = await ask(t, started, started.env)
    assert.deepEqual(failuresOf(cleaned), { bundle: 'bundle-unwritable' })
  })

  it('says which hop the relay cannot reach', async (t) => {
    const own = await startSystem(t)
    const started = await startRelay(t, own.environment)
    await own.gateway.close()
    const { code, hop } = checkOf(await ask(t, started, started.env), 'connect')
    assert.deepEqual([code, hop], ['gateway-unreachable', 'gateway'])
  })

  it('examines a token that waits for a start of its own, beside the relay that runs', async (t) => {
    const started = await startRelay(t, system.environment)
    const { tokenFile } = createSession(t, self, {})
    const diagnosis = await ask(t, started, { ...started.env, CCR_SESSION_TOKEN_PATH: tokenFile })
    assert.deepEqual(failuresOf(diagnosis), {})
    assert.match(checkOf(diagnosis, 'token').seen ?? '', /can be read/)
    assert.equal(checkOf(diagnosis, 'upgrade').status, 'pass')
    assert.equal(checkOf(diagnosis, 'client node').status, 'pass')
  })
})
