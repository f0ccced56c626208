// Two gateways behind HAProxy, by deploy/haproxy.cfg: one is killed under load, and only the tunnels on it break.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { isInstalled } from '../support/cli-process.js'
import { freePort } from '../support/listening.js'
import { startProgram } from '../support/program.js'
import { SharedScope } from '../support/temp-dir.js'
import { CREDENTIALS, HOST, requestOver, responseOf, startGateway, type TestGateway, textOf } from './fixture.js'
import { type GatewayProgram, serve } from './gateway-program.js'
import { connect, startTls } from './wire-client.js'

const HAPROXY_CONFIG = fileURLToPath(new URL('../../../deploy/haproxy.cfg', import.meta.url))
const TUNNELS = 20

const scope = new SharedScope()
const hasHaproxy = await isInstalled(scope, '/usr/sbin/haproxy', '-v')
await scope.end()

interface Member {
  readonly program: GatewayProgram
  readonly address: string
  readonly adminPort: number
}

/** Both have the same files, and nothing else in common. */
async function startMember(context: TestContext, gateway: TestGateway, name: string): Promise<Member> {
  const adminPort = await freePort()
  const program = await serve(context, gateway, { admin: { listen: `127.0.0.1:${adminPort}` } }, name)
  return { program, address: new URL(program.url).host, adminPort }
}

async function openTunnels({ adminPort }: Member): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()
  return Number(/^ccr_gateway_open_tunnels (\d+)$/m.exec(text)?.[1])
}

/** One tunnel with one request after the other, until it breaks or is to stop. */
class Load {
  requests = 0
  isBroken = false
  readonly #stop = new AbortController()
  readonly #stream
  readonly done: Promise<void>

  constructor(stream: Awaited<ReturnType<typeof connect>>['stream'], ca: string) {
    this.#stream = stream
    this.done = this.#run(ca).catch(() => {
      this.isBroken = true
    })
  }

  async #run(ca: string): Promise<void> {
    const socket = await startTls(this.#stream, ca, HOST)
    const broken = this.#stream.closeCode.then((code) => assert.fail(`closed with ${code}`))
    broken.catch(() => {})
    while (!this.#stop.signal.aborted) {
      const request = requestOver(socket, { headers: { connection: 'keep-alive' } })
      request.end()
      const answered = responseOf(request).then(textOf)
      answered.catch(() => {})
      assert.equal(JSON.parse(await Promise.race([answered, broken])).headers['x-key'], 'injected')
      this.requests++
    }
    socket.destroy()
  }

  stop(): Promise<void> {
    this.#stop.abort('enough')
    return this.done
  }
}

async function openLoad(tunnelUrl: string, ca: string): Promise<Load> {
  const { stream, status } = await connect(tunnelUrl, CREDENTIALS, `${HOST}:443`)
  assert.equal(status, 200)
  return new Load(stream, ca)
}

test('a gateway killed under load breaks its own tunnels only, and new ones go to the other', {
  skip: !hasHaproxy && 'haproxy is not installed (Debian: haproxy)',
  timeout: 1_800_000,
}, async (context) => {
  const rules = { [HOST]: [{ transform: [{ headers: { 'x-key': 'injected' } }] }] }
  const gateway = await startGateway(context, { rules })
  const ca = gateway.caCertificatePem
  const [first, second] = [await startMember(context, gateway, 'one'), await startMember(context, gateway, 'two')]
  const port = await freePort()
  await startProgram(context, ['haproxy', '-db', '-f', HAPROXY_CONFIG], {
    cwd: gateway.folder,
    ready: port,
    env: {
      LISTEN: `127.0.0.1:${port}`,
      GATEWAY_1: first.address,
      GATEWAY_2: second.address,
      ADMIN_1: String(first.adminPort),
      ADMIN_2: String(second.adminPort),
    },
  })
  const tunnelUrl = `ws://127.0.0.1:${port}/upstreamproxy/ws`
  const loads: Load[] = []
  for (let count = 0; count < TUNNELS; count++) loads.push(await openLoad(tunnelUrl, ca))
  const [onFirst, onSecond] = [await openTunnels(first), await openTunnels(second)]
  assert.equal(onFirst + onSecond, TUNNELS)
  assert.ok(onFirst > 0 && onSecond > 0, `${onFirst} and ${onSecond} tunnels`)

  first.program.process.kill('SIGKILL')
  // A connection that the dying process had still accepted is lost with it; one after its end finds the other gateway.
  await first.program.process.ended
  const later = await Promise.all(Array.from({ length: 5 }, () => openLoad(tunnelUrl, ca)))
  // Once round every tunnel that is left: each has to answer again after the kill.
  const before = loads.map(({ requests }) => requests)
  while (!loads.every(({ isBroken, requests }, at) => isBroken || requests > (before[at] ?? 0) + 2)) {
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.equal(loads.filter(({ isBroken }) => isBroken).length, onFirst)
  assert.equal(await openTunnels(second), onSecond + later.length)
  await Promise.all([...loads, ...later].map((load) => load.stop()))
  assert.equal(loads.filter(({ isBroken }) => isBroken).length, onFirst)
  assert.ok(later.every(({ isBroken, requests }) => !isBroken && requests > 0))
  context.diagnostic(`${onFirst} of ${TUNNELS} tunnels broke, ${onSecond} went on`)
})
