// A gateway whose network drops everything: `run` gives up in its time and runs the command without it, the relay goes on trying and
// says so, and nothing that is still connecting keeps the command line from ending. Costs 6 s of CPU.

import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { after, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { RelayStatus } from '#src/index.js'
import { CLI_FILE, isInstalled, type Outcome, RunningProcess, run } from '../support/cli-process.js'
import { requestThroughTunnel } from '../support/connect-client.js'
import { parseWarnings } from '../support/proxy-process.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { createSession, RULED_HOST, type Session, startSystem } from '../support/system.js'
import { type Scope, SharedScope } from '../support/temp-dir.js'
import { chooseActor } from '../support/unprivileged.js'

const BLACK_HOLE = fileURLToPath(new URL('../../cli/black-hole.py', import.meta.url))

const setup = new SharedScope()
after(() => setup.end())

/** What is sent to this neighbour arrives at the other end of a wire where it is nobody's (RFC 5737), and is dropped. */
const NETWORK = [
  'PATH=$PATH:/usr/sbin:/sbin; ip link set lo up',
  'ip link add near type veth peer name far',
  'ip address add 192.0.2.2/24 dev near',
  'ip link set far up',
  'ip link set near up',
  'ip neighbour add 192.0.2.1 lladdr 02:00:00:00:00:01 dev near nud permanent',
].join(' && ')
const GATEWAY = 'https://192.0.2.1/'

const skip =
  process.getuid?.() === 0 && (await isInstalled(setup, 'unshare', '--net', 'sh', '-c', NETWORK))
    ? false
    : 'no network namespace can be made here'
const skipHole =
  process.platform === 'linux' && (await isInstalled(setup, 'python3', '--version'))
    ? false
    : 'python3 is not installed, or a full queue drops nothing here'

const self = { ...chooseActor(setup), own: () => {} }
const system = await startSystem(setup)

/** Milliseconds from the command's end to ours: much more than it takes, much less than a kernel goes on connecting (tcp(7)). */
const END_LIMIT_MS = 30_000

describeOnEachRuntime('run before a silent gateway', (runtime) => {
  describe('that waits more than it works', { concurrency: true }, () => {
    it('ends with its command, with no connection left to wait for', { skip }, async (t) => {
      const session = createSession(t, self, { ...system.environment, CCR_UPSTREAM_PROXY_URL: GATEWAY })
      const args = ['--net', 'sh', '-c', `${NETWORK} && exec "$@"`, 'sh', runtime.path, CLI_FILE, 'run', '--']
      const child = new RunningProcess(t, 'unshare', [...args, 'sh', '-c', 'echo done; exit 7'], { env: session.env })
      await child.until(/done\n/)
      const begun = performance.now()
      const { exitCode, stderr } = await child.ended
      assert.ok(performance.now() - begun < END_LIMIT_MS, `${performance.now() - begun} ms`)
      assert.equal(exitCode, 7, stderr)
      assert.match(stderr, /warn \[gateway-silent\]/)
      assert.deepEqual(readdirSync(session.temporary), [])
    })

    it('runs the command soon and without the proxy, unless with --require, and goes on trying', {
      skip: skipHole,
    }, async (t) => {
      const { environment, port, end } = await startHole(t)
      const [session, other] = [createSession(t, self, environment), createSession(t, self, environment)]
      // It waits for the ten seconds of the download: however busy the machine is, the other is three times as fast.
      const patient = start(t, runtime.path, other, ['run', '--require', '--', 'echo', 'ran'])
      let hasEnded = false
      void patient.ended.then(() => (hasEnded = true))
      const command = 'echo "<$HTTPS_PROXY>"; read line; exit 7'
      const child = start(t, runtime.path, session, ['run', '--', 'sh', '-c', command])
      await child.until(/<>\n/)
      assert.ok(!hasEnded, 'it has waited as long as with --require')
      assert.ok(!existsSync(session.tokenFile))
      assert.match(
        (await ask(t, runtime.path, session, 'status')).stdout,
        /^gateway {3}silent · its CA has not come yet$/m,
      )

      const { exitCode: refused, stdout: given, stderr: said } = await ask(t, runtime.path, session, 'env')
      assert.deepEqual([refused, given], [3, ''])
      assert.match(said, /^ccr-upstream-proxy: error \[gateway-silent\] /)

      const waited = await patient.ended
      assert.deepEqual([waited.exitCode, waited.stdout], [3, ''])
      assert.match(waited.stderr, /error \[ca-timeout\]/)
      assert.ok(existsSync(other.tokenFile))

      await end()
      await forward(t, port)
      let status: RelayStatus
      do status = JSON.parse((await ask(t, runtime.path, session, 'status', '--json')).stdout)
      while (status.isGatewaySilent)
      const { stdout } = await ask(t, runtime.path, session, 'env', '--format', 'json')
      const { HTTPS_PROXY = '', SSL_CERT_FILE = '' } = JSON.parse(stdout) as Record<string, string>
      const ca = readFileSync(SSL_CERT_FILE, 'utf8')
      assert.equal(
        (await requestThroughTunnel({ proxyUrl: HTTPS_PROXY, url: `https://${RULED_HOST}/`, ca })).status,
        200,
      )

      child.write('\n')
      const { exitCode, stderr } = await child.ended
      assert.equal(exitCode, 7, stderr)
      assert.deepEqual(
        parseWarnings(stderr).map(({ code }) => code),
        ['gateway-silent'],
      )
      assert.deepEqual(readdirSync(session.temporary), [])
    })
  })
})

/** The environment of sessions whose gateway is on a port that swallows everything, until `end`. */
async function startHole(t: Scope) {
  const hole = new RunningProcess(t, 'python3', [BLACK_HOLE], { env: { PATH: process.env.PATH } })
  const [, port = ''] = await hole.until(/^(\d+)\n/)
  const url = system.gateway.url.replace(/:\d+/, `:${port}`)
  const environment = { ...system.environment, CCR_UPSTREAM_PROXY_URL: url }
  const end = async (): Promise<void> => {
    hole.endInput()
    await hole.ended
  }
  return { environment, port: Number(port), end }
}

/** What is sent to that port from now on comes to the gateway. */
async function forward(t: Scope, port: number): Promise<void> {
  const { hostname, port: gatewayPort } = new URL(system.gateway.url)
  const server = createServer((client) => {
    const gateway = connect(Number(gatewayPort), hostname)
    client.on('error', () => gateway.destroy()).pipe(gateway)
    gateway.on('error', () => client.destroy()).pipe(client)
  })
  t.after(() => void server.close())
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
}

function start(t: Scope, runtimePath: string, { env, directory }: Session, args: readonly string[]): RunningProcess {
  return new RunningProcess(t, runtimePath, [CLI_FILE, ...args], { env, cwd: directory })
}

function ask(t: Scope, runtimePath: string, { env, directory }: Session, ...args: string[]): Promise<Outcome> {
  return run(t, runtimePath, [CLI_FILE, ...args], { env, cwd: directory })
}
