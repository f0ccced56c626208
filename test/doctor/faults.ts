// Fourteen things that go wrong between a client and its origin, each with a code of its own. The gateway is real, and so is every
// fault.

import { rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { mock } from 'node:test'
import { startCaServer } from '../support/ca-server.js'
import { startScriptedProxy } from '../support/egress-proxy.js'
import { freePort, listen } from '../support/listening.js'
import { startOrigin } from '../support/origin.js'
import type { TestRuntime } from '../support/runtimes.js'
import { createSession, INJECTION, RULED_HOST, type Session, type System, startSystem } from '../support/system.js'
import type { Scope } from '../support/temp-dir.js'
import { createTestCa, type TestCa } from '../support/test-ca.js'
import { type Diagnosis, diagnosisOf, runDoctor } from './doctor-process.js'

const DENIED_HOST = 'denied.example.test'
const UNTRUSTED_HOST = 'untrusted.example.test'
const SILENT_HOST = 'silent.example.test'

/** A world with something wrong in it. */
export interface Spoilt {
  /** Over the environment of a healthy session; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly token?: string
  /** Asked for through the tunnel; the host with the rule unless given. */
  readonly host?: string
  readonly spoil?: (session: Session) => void
}

/** What the tests share. */
export interface World {
  readonly system: System
  readonly caOfTomorrow: TestCa
  /** A gateway with a certificate of that CA. */
  readonly tomorrow: System
}

export interface Fault {
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

export const FAULTS: readonly Fault[] = [
  {
    title: 'the gateway is down',
    code: 'gateway-unreachable',
    hop: 'gateway',
    next: /that the gateway is up/,
    check: 'gateway',
    status: 502,
    arrange: async () => ({ env: { CCR_UPSTREAM_PROXY_URL: `https://127.0.0.1:${await freePort()}` } }),
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
    arrange: async () => behindEgress(await freePort()),
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
export const WRONG_REQUESTS = [
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

const self = { own: () => {} }

/** Starts it; it goes with `scope`. */
export async function startWorld(scope: Scope): Promise<World> {
  const caOfTomorrow = await createCaOfTomorrow()
  const tomorrow = await startSystem(scope, { gatewayCa: caOfTomorrow })
  return { system: await startSystemWithOrigins(scope), caOfTomorrow, tomorrow }
}

async function startSystemWithOrigins(scope: Scope): Promise<System> {
  const strangers = await createTestCa('a root that the gateway does not know')
  const untrusted = await startOrigin(scope, { certificate: await strangers.serverCertificate(UNTRUSTED_HOST) })
  // It takes connections and says nothing.
  const silent = await listen(scope, createServer())
  return startSystem(scope, {
    origins: { [UNTRUSTED_HOST]: untrusted.address, [SILENT_HOST]: silent.address },
    hosts: { [UNTRUSTED_HOST]: INJECTION, [SILENT_HOST]: INJECTION },
    deny: [DENIED_HOST],
    dialTimeoutMs: 500,
  })
}

/**
 * A root that begins tomorrow: made on a machine whose clock is 61 days ahead, for roots are dated back by 60. The clock is the
 * process's, so this comes before the tests.
 */
async function createCaOfTomorrow(): Promise<TestCa> {
  mock.timers.enable({ apis: ['Date'], now: Date.now() + 61 * 86_400_000 })
  try {
    return await createTestCa('root of tomorrow')
  } finally {
    mock.timers.reset()
  }
}

/** A session in the world, spoilt. */
export function sessionFor(scope: Scope, { system }: World, { env = {}, token, spoil }: Spoilt): Session {
  const session = createSession(scope, self as never, system.environment, token)
  spoil?.(session)
  const entries = Object.entries({ ...session.env, ...env }).filter(([, value]) => value !== undefined)
  return { ...session, env: Object.fromEntries(entries) as Record<string, string> }
}

/** What the doctor finds there. */
export async function examine(scope: Scope, world: World, { path }: TestRuntime, spoilt: Spoilt): Promise<Diagnosis> {
  const url = `https://${spoilt.host ?? RULED_HOST}/hello`
  const session = sessionFor(scope, world, spoilt)
  return diagnosisOf(await runDoctor(scope, { session, args: ['--json', '--url', url], runtimePath: path }))
}
