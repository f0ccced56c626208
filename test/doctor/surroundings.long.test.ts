// Where the doctor is called for help: without a network, without a client, as root and as an ordinary user, on Node and Bun.
// Each time it ends in time with a report that is true.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createServer as createHttpServer } from 'node:http'
import { createServer } from 'node:net'
import type { Duplex } from 'node:stream'
import { after, before, describe, it } from 'node:test'
import { startScriptedProxy, tunnelBehind } from '../support/egress-proxy.js'
import { listen } from '../support/listening.js'
import { describeOnEachRuntime, type TestRuntime } from '../support/runtimes.js'
import { createSession, RULED_HOST, type System, startSystem, TOKEN } from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'
import { type Actor, chooseActor } from '../support/unprivileged.js'
import { checkOf, diagnosisOf, failuresOf, runDoctor } from './doctor-process.js'

const setup = new SharedScope()
const isRoot = process.getuid?.() === 0
let system: System
let ordinary: Actor
/** Who runs the tests. */
const self = { own: () => {} } as unknown as Actor

before(async () => {
  system = await startSystem(setup)
  ordinary = chooseActor(setup)
})
after(() => setup.end())

const noNetwork = !isRoot
  ? 'only root can take the network away'
  : spawnSync('unshare', ['-n', 'true']).status === 0
    ? false
    : 'unshare(1) cannot take the network away here'

/** What a runtime is for the ordinary user: Node may be a copy; others have to be open to all. */
function fileFor({ kind, path }: TestRuntime): string | undefined {
  if (kind === 'node' && path === process.execPath) return ordinary.nodeFile
  const test = spawnSync(path, ['--version'], { ...ordinary.ids, stdio: 'ignore' })
  return test.status === 0 ? path : undefined
}

describeOnEachRuntime('the doctor', (runtime) => {
  describe('when it is asked for help', { concurrency: 3 }, () => {
    it('says what there is to say without a network', { skip: noNetwork }, async (t) => {
      const session = createSession(t, self, {
        ...system.environment,
        CCR_UPSTREAM_PROXY_URL: 'https://gateway.example.test',
      })
      const diagnosis = diagnosisOf(
        await runDoctor(t, {
          session,
          runtimePath: runtime.path,
          prefix: ['/usr/bin/unshare', '-n'],
          env: { PATH: process.env.PATH },
        }),
      )
      // A new network namespace has its loopback interface down.
      assert.deepEqual(failuresOf(diagnosis), {
        gateway: 'gateway-dns-failed',
        'relay-answers': 'loopback-unreachable',
      })
      assert.equal(checkOf(diagnosis, 'gateway').hop, 'gateway')
      for (const id of ['token', 'dumpable', 'system-bundle', 'bundle'])
        assert.notEqual(checkOf(diagnosis, id).status, 'skip')
      for (const id of ['gateway-ca', 'upgrade', 'connect', 'round-trip', 'clients'])
        assert.equal(checkOf(diagnosis, id).status, 'skip')
    })

    it('passes for an ordinary user on whose PATH there is nothing', async (t) => {
      const runtimePath = fileFor(runtime)
      if (runtimePath === undefined) {
        t.skip(`${runtime.name} cannot be run by an ordinary user here`)
        return
      }
      const session = createSession(t, ordinary, system.environment)
      const { ids, cliFile } = ordinary
      const args = ['--json', '--url', `https://${RULED_HOST}/hello`]
      const diagnosis = diagnosisOf(await runDoctor(t, { session, args, runtimePath, cliFile, ids }))
      assert.deepEqual(failuresOf(diagnosis), {})
      assert.equal(checkOf(diagnosis, 'round-trip').status, 'pass')
      assert.match(checkOf(diagnosis, 'clients').seen ?? '', /^none/)
      if (process.platform === 'linux' && isRoot) assert.equal(checkOf(diagnosis, 'sys-ptrace').status, 'pass')
    })

    it('passes for root', { skip: isRoot ? false : 'the tests are not run by root' }, async (t) => {
      const session = createSession(t, self, system.environment)
      const args = ['--json', '--url', `https://${RULED_HOST}/hello`]
      const diagnosis = diagnosisOf(await runDoctor(t, { session, args, runtimePath: runtime.path }))
      assert.deepEqual(failuresOf(diagnosis), {})
      assert.equal(checkOf(diagnosis, 'round-trip').status, 'pass')
    })

    it("goes through the container's own egress proxy", async (t) => {
      const gatewayHost = 'gateway.example.test'
      const { gateway, environment } = await startSystem(t, { gatewayHost })
      // No DNS knows the gateway: only the proxy does.
      const pass = tunnelBehind('HTTP/1.1 200 OK\r\n\r\n')
      const proxy = await startScriptedProxy((socket) => pass(socket, `CONNECT 127.0.0.1:${gateway.port} HTTP/1.1`))
      t.after(() => proxy.close())
      const session = createSession(t, self, {
        ...environment,
        HTTPS_PROXY: `http://user:secret@127.0.0.1:${proxy.port}`,
      })
      const args = ['--json', '--url', `https://${RULED_HOST}/hello`]
      const outcome = await runDoctor(t, { session, args, runtimePath: runtime.path })
      assert.ok(!outcome.stdout.includes('secret'))
      const diagnosis = diagnosisOf(outcome)
      assert.deepEqual(failuresOf(diagnosis), {})
      assert.match(checkOf(diagnosis, 'egress').seen ?? '', /lets CONNECT gateway\.example\.test:\d+ through$/)
      assert.deepEqual(Object.keys(checkOf(diagnosis, 'gateway').stages ?? {}), ['tcp', 'egress', 'tls', 'answer'])
      assert.equal(checkOf(diagnosis, 'round-trip').status, 'pass')
    })

    it('is in time where the gateway takes connections and says nothing', async (t) => {
      const { port } = await listen(
        t,
        createServer(() => {}),
      )
      const session = createSession(t, self, {
        ...system.environment,
        CCR_UPSTREAM_PROXY_URL: `https://127.0.0.1:${port}`,
      })
      const diagnosis = diagnosisOf(await runDoctor(t, { session, runtimePath: runtime.path }))
      assert.deepEqual(failuresOf(diagnosis), { gateway: 'gateway-dial-timeout' })
    })

    it('does not repeat the token to a terminal when the gateway does', async (t) => {
      const server = createHttpServer((_request, response) => response.end())
      server.on('upgrade', ({ headers }, socket: Duplex) => {
        const { authorization = '' } = headers
        assert.ok(authorization.endsWith(TOKEN))
        socket.end(`HTTP/1.1 403 ${authorization}\r\nConnection: close\r\n\r\n\x1b[2Jyou sent ${authorization}`)
      })
      const { port } = await listen(t, server)
      const session = createSession(t, self, {
        ...system.environment,
        CCR_UPSTREAM_PROXY_URL: `http://127.0.0.1:${port}`,
      })
      const { code, seen } = checkOf(diagnosisOf(await runDoctor(t, { session, runtimePath: runtime.path })), 'upgrade')
      assert.equal(code, 'gateway-token-refused')
      assert.equal(seen, 'the gateway refused the upgrade: 403 Bearer [redacted]: you sent Bearer [redacted]')
    })
  })
})
