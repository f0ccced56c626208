// Fourteen things that go wrong between a client and its origin: each has a code of its own, gives a client the right status,
// and is found by the doctor, which names the hop and the next step. The gateway is real, and so is every fault.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync, rmSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { after, before, describe, it, mock } from 'node:test'
import { type RelayOptions, startRelay } from '#src/index.js'
import { findFreePort, startCaServer } from '../support/ca-server.js'
import { CLI_FILE, run } from '../support/cli-process.js'
import { ConnectRefused, requestThroughTunnel } from '../support/connect-client.js'
import { startScriptedProxy } from '../support/egress-proxy.js'
import { startOrigin } from '../support/origin.js'
import { describeOnEachRuntime, IS_LARGE, type TestRuntime } from '../support/runtimes.js'
import {
  createSession,
  INJECTION,
  RULED_HOST,
  SESSION_ID,
  type Session,
  type System,
  startSystem,
  TOKEN,
} from '../support/system.js'
import { type Scope, SharedScope } from '../support/temp-dir.js'
import { createTestCa, type TestCa } from '../support/test-ca.js'
import { checkOf, diagnosisOf, failuresOf, runDoctor } from './doctor-process.js'

const DENIED_HOST = 'denied.example.test'
const UNTRUSTED_HOST = 'untrusted.example.test'
const SILENT_HOST = 'silent.example.test'

/** A world with something wrong in it. */
interface Spoilt {
  /** Over the environment of a healthy session; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly token?: string
  /** Asked for through the tunnel; the host with the rule unless given. */
  readonly host?: string
  readonly spoil?: (session: Session) => void
}

/** What the tests share. */
interface World {
  readonly system: System
  /** A gateway with a certificate of tomorrow. */
  readonly tomorrow: System
}

interface Fault {
  readonly title: string
  readonly code: string
  readonly hop: string
  /** In the hint. */
  readonly next: RegExp
  /** The check that finds it. */
  readonly check: string
  /** What a client of a relay gets; `off` where no relay starts. */
  readonly status: number | 'off'
  readonly arrange: (scope: Scope, world: World) => Spoilt | Promise<Spoilt>
}

const FAULTS: readonly Fault[] = [
  {
    title: 'the gateway is down',
    code: 'gateway-unreachable',
    hop: 'gateway',
    next: /that the gateway is up/,
    check: 'gateway',
    status: 502,
    arrange: async () => ({ env: { CCR_UPSTREAM_PROXY_URL: `https://127.0.0.1:${await findFreePort()}` } }),
  },
  {
    title: 'the token is wrong',
    code: 'gateway-token-refused',
    hop: 'gateway',
    next: /expired or belong to another gateway/,
    check: 'upgrade',
    status: 502,
    arrange: () => ({ token: 'a-token-of-yesterday' }),
  },
  {
    title: 'the policy denies the host',
    code: 'policy-denied',
    hop: 'gateway',
    next: /ask the operator for a rule/,
    check: 'connect',
    status: 403,
    arrange: () => ({ host: DENIED_HOST }),
  },
  {
    title: 'the egress proxy wants a password',
    code: 'egress-authentication-required',
    hop: 'egress proxy',
    next: /user name and password/,
    check: 'egress',
    status: 502,
    arrange: async (scope) => {
      const proxy = await startScriptedProxy((socket) => socket.end('HTTP/1.1 407 Who are you\r\n\r\n'))
      scope.after(() => proxy.close())
      return behindEgress(proxy.port)
    },
  },
  {
    title: 'the egress proxy is dead',
    code: 'egress-unreachable',
    hop: 'egress proxy',
    next: /nothing answers there/,
    check: 'egress',
    status: 502,
    arrange: async () => behindEgress(await findFreePort()),
  },
  {
    title: 'the name of the gateway is in no DNS',
    code: 'gateway-dns-failed',
    hop: 'gateway',
    next: /name in CCR_UPSTREAM_PROXY_URL and the DNS/,
    check: 'gateway',
    status: 502,
    arrange: () => ({ env: { CCR_UPSTREAM_PROXY_URL: 'https://gateway.invalid' } }),
  },
  {
    title: "the gateway's certificate comes from an unknown CA",
    code: 'gateway-tls-failed',
    hop: 'gateway',
    next: /name the CA of the gateway in CCR_UPSTREAM_PROXY_GATEWAY_CA/,
    check: 'gateway',
    status: 502,
    arrange: () => ({ env: { CCR_UPSTREAM_PROXY_GATEWAY_CA: undefined } }),
  },
  {
    title: "the origin's certificate is bad",
    code: 'certificate-rejected',
    hop: 'origin',
    next: /trust a further root/,
    check: 'round-trip',
    status: 502,
    arrange: () => ({ host: UNTRUSTED_HOST }),
  },
  {
    title: 'the origin does not answer in time',
    code: 'connection-timeout',
    hop: 'origin',
    next: /try again later/,
    check: 'round-trip',
    status: 504,
    arrange: () => ({ host: SILENT_HOST }),
  },
  {
    title: 'what the gateway serves as its CA is none',
    code: 'ca-invalid',
    hop: 'gateway',
    next: /CA:TRUE/,
    check: 'gateway-ca',
    status: 'off',
    arrange: async (scope) => ({ env: { CCR_UPSTREAM_PROXY_URL: `${(await startCaServer(scope)).url}/leaf` } }),
  },
  {
    title: 'the token is missing',
    code: 'token-missing',
    hop: 'machine',
    next: /mount the session token/,
    check: 'token',
    status: 'off',
    arrange: () => ({ spoil: ({ tokenFile }) => rmSync(tokenFile) }),
  },
  {
    title: 'the clock is behind',
    code: 'clock-skew',
    hop: 'machine',
    next: /this machine's clock/,
    check: 'gateway',
    status: 502,
    arrange: (_scope, { tomorrow }) => ({ env: tomorrow.environment }),
  },
]

/** What clients themselves get wrong: the relay tells them, and the doctor makes sure that it would. */
const WRONG_REQUESTS = [
  {
    title: 'a CONNECT without a port',
    head: 'CONNECT h.example HTTP/1.1',
    status: 400,
    code: 'bad-authority',
    next: /host:port/,
  },
  {
    title: 'plain HTTP',
    head: 'GET http://h.example/ HTTP/1.1',
    status: 405,
    code: 'method-not-allowed',
    next: /leave HTTP_PROXY unset/,
  },
] as const

function behindEgress(port: number): Spoilt {
  return { env: { CCR_UPSTREAM_PROXY_URL: 'https://gateway.example.test', HTTPS_PROXY: `http://127.0.0.1:${port}` } }
}

const setup = new SharedScope()
const self = { own: () => {} }
let world: World

before(async () => {
  world = { system: await startWorld(), tomorrow: await startSystem(setup, { gatewayCa: await createCaOfTomorrow() }) }
})
after(() => setup.end())

async function startWorld(): Promise<System> {
  const strangers = await createTestCa('a root that the gateway does not know')
  const untrusted = await startOrigin(setup, { certificate: await strangers.serverCertificate(UNTRUSTED_HOST) })
  return startSystem(setup, {
    origins: { [UNTRUSTED_HOST]: untrusted.address, [SILENT_HOST]: await startSilentOrigin() },
    hosts: { [UNTRUSTED_HOST]: INJECTION, [SILENT_HOST]: INJECTION },
    deny: [DENIED_HOST],
    dialTimeoutMs: 500,
  })
}

/** It takes connections and says nothing. */
async function startSilentOrigin(): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => sockets.add(socket.on('error', () => {})))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  setup.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A root that was made on a machine whose clock is a day ahead of this one. */
async function createCaOfTomorrow(): Promise<TestCa> {
  mock.timers.enable({ apis: ['Date'], now: Date.now() + 86_400_000 })
  try {
    return await createTestCa('root of tomorrow')
  } finally {
    mock.timers.reset()
  }
}

function sessionFor(scope: Scope, { env = {}, token, spoil }: Spoilt): Session {
  const session = createSession(scope, self as never, world.system.environment, token)
  spoil?.(session)
  const entries = Object.entries({ ...session.env, ...env }).filter(([, value]) => value !== undefined)
  return { ...session, env: Object.fromEntries(entries) as Record<string, string> }
}

/** What a client is answered through a relay of the session, in the tunnel or before it. */
async function answerThroughRelay(session: Session, { host = RULED_HOST, token = TOKEN }: Spoilt) {
  const relay = await startRelay(relayOptions(session, token))
  const { caCertificatePem } = world.system.gateway
  try {
    const { proxyUrl } = relay
    const { status, body } = await requestThroughTunnel({ proxyUrl, url: `https://${host}/`, ca: caCertificatePem })
    return { status, text: body.toString() }
  } catch (error) {
    if (!(error instanceof ConnectRefused)) throw error
    return { status: error.status, text: error.answer.slice(error.answer.indexOf('\r\n\r\n')) }
  } finally {
    await relay.close(0)
  }
}

function relayOptions({ env }: Session, token: string): RelayOptions {
  const tunnelUrl = `${env.CCR_UPSTREAM_PROXY_URL}/upstreamproxy/ws`.replace(/^http/, 'ws')
  const roots = [env.CCR_UPSTREAM_PROXY_GATEWAY_CA, env.CCR_SYSTEM_CA_BUNDLE].filter((file) => file !== undefined)
  return {
    tunnelUrl,
    token,
    sessionId: SESSION_ID,
    trustedCertificates: roots.map((file) => readFileSync(file, 'latin1')).join('\n'),
    ...(env.HTTPS_PROXY === undefined ? {} : { egress: env.HTTPS_PROXY }),
  }
}

describe('a client', { concurrency: 2, timeout: 60_000 }, () => {
  for (const { title, code, status, arrange } of FAULTS) {
    it(`is told ${status} ${code} when ${title}`, async (t) => {
      const spoilt = await arrange(t, world)
      const session = sessionFor(t, spoilt)
      if (status !== 'off') {
        const answer = await answerThroughRelay(session, spoilt)
        assert.equal(answer.status, status)
        assert.equal((JSON.parse(answer.text) as { code: string }).code, code)
        return
      }
      const outcome = await run(t, process.execPath, [CLI_FILE, 'relay', '--json'], { env: session.env })
      assert.equal(outcome.exitCode, 3)
      const { enabled, code: said } = JSON.parse(outcome.stdout) as { enabled: boolean; code: string }
      assert.deepEqual({ enabled, said }, { enabled: false, said: code })
    })
  }

  for (const { title, head, status, code, next } of WRONG_REQUESTS) {
    it(`is told ${status} ${code} for ${title}`, async (t) => {
      const relay = await startRelay(relayOptions(sessionFor(t, {}), TOKEN))
      t.after(() => relay.close(0))
      const answer = await sayTo(relay.port, `${head}\r\nHost: h.example\r\n\r\n`)
      assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `))
      const body = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))) as Record<string, string>
      assert.deepEqual([body.hop, body.code], ['relay', code])
      assert.match(body.hint ?? '', next)
    })
  }

  it('gets a code of its own for each', () => {
    const codes = [...FAULTS, ...WRONG_REQUESTS].map(({ code }) => code)
    assert.equal(codes.length, 14)
    assert.equal(new Set(codes).size, 14)
  })
})

async function sayTo(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.write(text)
  let answer = ''
  for await (const bytes of socket) answer += String(bytes)
  return answer
}

describeOnEachRuntime('the doctor', (runtime) => {
  describe('finds that', { concurrency: 2 }, () => {
    for (const { title, code, hop, next, check, arrange } of faultsFor(runtime)) {
      it(`${title}: ${code}`, async (t) => {
        const spoilt = await arrange(t, world)
        const found = checkOf(await examine(t, runtime, spoilt), check)
        assert.deepEqual({ status: found.status, code: found.code, hop: found.hop }, { status: 'fail', code, hop })
        assert.match(found.hint ?? '', next)
      })
    }

    it('the relay answers what it does not carry as it should', async (t) => {
      const found = checkOf(await examine(t, runtime, {}), 'relay-answers')
      assert.equal(found.status, 'pass')
      for (const { status, code } of WRONG_REQUESTS) assert.ok(found.seen?.includes(`${status} ${code}`))
    })

    it('the gateway serves a CA of tomorrow, though its own certificate is good', async (t) => {
      const system = await startSystem(t, { interceptionCa: await createCaOfTomorrow() })
      const diagnosis = await examine(t, runtime, { env: system.environment })
      assert.deepEqual(failuresOf(diagnosis), { 'gateway-ca': 'clock-skew' })
      assert.match(checkOf(diagnosis, 'gateway-ca').seen ?? '', /is not valid before 20\S+Z, and it is 20\S+Z here/)
    })

    it("the gateway's clock is an hour ahead", async (t) => {
      const server = createHttpServer((_request, response) => {
        response.setHeader('Date', new Date(Date.now() + 3_600_000).toUTCString()).end('')
      })
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      t.after(() => server.close())
      const { port } = server.address() as AddressInfo
      const diagnosis = await examine(t, runtime, { env: { CCR_UPSTREAM_PROXY_URL: `http://127.0.0.1:${port}` } })
      const { code, seen } = checkOf(diagnosis, 'clock')
      assert.deepEqual([code, seen], ['clock-skew', "the gateway's clock is 60 minutes ahead of this machine's"])
    })
  })
})

/** On Bun in the short form: those that its own sockets and TLS have a say in. */
function faultsFor({ kind }: TestRuntime): readonly Fault[] {
  if (kind === 'node' || IS_LARGE) return FAULTS
  const isOfRuntime = /^(?:gateway-(?:dns|tls|token)|egress-|certificate-|clock-)/
  return FAULTS.filter(({ code }) => isOfRuntime.test(code))
}

async function examine(scope: Scope, { path }: TestRuntime, spoilt: Spoilt) {
  const url = `https://${spoilt.host ?? RULED_HOST}/hello`
  const session = sessionFor(scope, spoilt)
  return diagnosisOf(await runDoctor(scope, { session, args: ['--json', '--url', url], runtimePath: path }))
}
