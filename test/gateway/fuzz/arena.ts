// Where the fuzz suite takes place: a gateway's program with its origins here, and how a client comes in. The bystander and the two
// servers that it asks are processes of their own: what happens here does not slow them down.

import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { type AuditRecord, hashToken } from 'ccr-upstream-gateway'
import { freePort, type Listening } from '../../support/listening.js'
import { originCa } from '../../support/origin.js'
import type { SeededRandom } from '../../support/seeded-random.js'
import { createTempDirectory, type Scope } from '../../support/temp-dir.js'
import { createTestCa, type TestCertificate } from '../../support/test-ca.js'
import { GATEWAY_CLI } from '../gateway-program.js'
import type { Credentials } from '../wire-client.js'
import type { BystanderReport, BystanderSetup } from './bystander-program.js'
import type { MemoryReport } from './gateway-probe.js'
import { HelperProcess } from './helper-process.js'
import {
  SECRET,
  SeenRequests,
  startHostileHttp1,
  startHostileHttp2,
  startHostileTls,
  startQuietOrigin,
} from './origins.js'
import { TunnelSocket } from './tunnel-socket.js'

export const QUIET = 'quiet.example.com'
export const HOSTILE = ['hostile1.example.com', 'hostile2.example.com'] as const
/** Without a rule: its tunnels are spliced. */
export const SPLICED = 'spliced.example.com'
const PLAIN = 'plain.example.com'
export const FUZZER: Credentials = { session: 'fuzzer', token: 'tok-fuzzer-0123456789abcdef' }
/** Of the gateway's, which hold what they are for: a TLS handshake and a request head have a minute. It only ends a wait in vain. */
const LONGEST_TIMER_MS = 120_000
const BYSTANDER: Credentials = { session: 'bystander', token: 'tok-bystander-0123456789ab' }

interface ArenaParts {
  readonly gateway: HelperProcess
  readonly bystander: HelperProcess
  readonly seen: SeenRequests
  readonly origins: readonly Listening[]
  readonly folder: string
  readonly port: number
  readonly adminPort: number
  readonly gatewayCa: string
  readonly tlsFates: Map<string, SeededRandom>
}

export class Arena {
  readonly seen: SeenRequests
  readonly port: number
  readonly #gateway: HelperProcess
  readonly #bystander: HelperProcess
  readonly #origins: readonly Listening[]
  readonly #folder: string
  readonly #adminPort: number
  readonly #secureContext: SecureContext
  readonly #tlsFates: Map<string, SeededRandom>
  /** By host and protocol: most handshakes are short ones. */
  readonly #tlsSessions = new Map<string, Buffer>()

  constructor(parts: ArenaParts) {
    this.seen = parts.seen
    this.port = parts.port
    this.#gateway = parts.gateway
    this.#bystander = parts.bystander
    this.#origins = parts.origins
    this.#folder = parts.folder
    this.#adminPort = parts.adminPort
    this.#secureContext = createSecureContext({ ca: parts.gatewayCa })
    this.#tlsFates = parts.tlsFates
  }

  /** How the gateway's process ended, with its last words; undefined while it runs. */
  get exit(): string | undefined {
    const { exit, stderr } = this.#gateway
    return exit === undefined ? undefined : `${exit} ${stderr}`
  }

  /** What the gateway's process wrote to its operator. */
  get warnings(): string {
    return this.#gateway.stderr
  }

  /** The inside of a tunnel. */
  async openTunnel(host: string): Promise<TunnelSocket> {
    const tunnel = new TunnelSocket(this.port, host, FUZZER)
    const status = await tunnel.connected
    if (status !== 200) throw new Error(`CONNECT was answered ${status}`)
    return tunnel
  }

  /** TLS in a tunnel. */
  async openTls(host: string, protocol: 'h2' | 'http/1.1'): Promise<TunnelClient> {
    const tunnel = await this.openTunnel(host)
    const key = `${host} ${protocol}`
    const session = this.#tlsSessions.get(key)
    const socket = connectTls({
      socket: tunnel,
      secureContext: this.#secureContext,
      servername: host,
      ALPNProtocols: [protocol],
      ...(session !== undefined && { session }),
    })
    socket.on('error', () => {}).on('session', (issued: Buffer) => this.#tlsSessions.set(key, issued))
    await Promise.race([once(socket, 'secureConnect'), failOnClose(socket)])
    return { tunnel, socket }
  }

  /** Whatever origin is dialled for `host` from now on does to TLS what `random` says. */
  setTlsFate(host: string, random: SeededRandom): void {
    this.#tlsFates.set(host, random)
  }

  closeOrigins(): void {
    for (const origin of this.#origins) origin.closeConnections()
  }

  /** As many as are not over. */
  async openTunnels(): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${this.#adminPort}/metrics`)
    return Number(/^ccr_gateway_open_tunnels (\d+)$/m.exec(await response.text())?.[1])
  }

  /** A collection of all garbage takes long: pause the bystander, for it is not what that watches for. */
  measure(): Promise<MemoryReport> {
    return this.#gateway.ask('measure')
  }

  /** The same when none of the tunnels, all of which have ended, is in memory any more, or after a while. */
  async measureWithoutTunnels(): Promise<MemoryReport> {
    const start = performance.now()
    for (;;) {
      const memory = await this.measure()
      if (memory.tunnels === 0 || performance.now() - start > LONGEST_TIMER_MS) return memory
      await sleep(200)
    }
  }

  /** What the bystander saw; it asks no more. */
  pauseBystander(): Promise<BystanderReport> {
    return this.#bystander.ask('pause')
  }

  resumeBystander(): void {
    this.#bystander.process.send('watch')
  }

  async dismissBystander(): Promise<void> {
    this.#bystander.process.kill()
    await this.#bystander.untilExit()
  }

  /** SIGTERM; resolves with the exit code, and the audit. */
  async terminate(): Promise<{ readonly exit: string; readonly audit: readonly AuditRecord[] }> {
    this.#gateway.process.kill('SIGTERM')
    const exit = await this.#gateway.untilExit()
    const lines = readFileSync(join(this.#folder, 'audit.jsonl'), 'utf8').trimEnd().split('\n')
    return { exit, audit: lines.map((line) => JSON.parse(line) as AuditRecord) }
  }
}

/** A client with TLS in its tunnel. */
export interface TunnelClient {
  readonly tunnel: TunnelSocket
  readonly socket: TLSSocket
}

/** @param clients how many at once; each has the host of its number for origins that do not speak TLS */
export async function openArena(scope: Scope, clients: number): Promise<Arena> {
  const folder = createTempDirectory(scope, 'fuzz')
  const seen = new SeenRequests()
  const tlsFates = new Map<string, SeededRandom>()
  const [certificate, plainCertificate] = await Promise.all([
    originCa.serverCertificate(QUIET, ...HOSTILE),
    originCa.serverCertificate(PLAIN),
  ])
  const quiet = await startQuietOrigin(scope, certificate, seen)
  const [http1, http2, tls, plain, control, adminPort] = await Promise.all([
    startHostileHttp1(scope, certificate, seen),
    startHostileHttp2(scope, certificate, seen),
    startHostileTls(scope, quiet, (name) => tlsFates.get(name)),
    startPlainServer(scope, plainCertificate),
    startPlainServer(scope, plainCertificate),
    freePort(),
  ])
  const { rootPem, rootKeyPem } = await createTestCa('interception root')
  const files = { 'ca.pem': rootPem, 'ca.key': rootKeyPem, 'root.pem': originCa.rootPem }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  const ways = {
    ...{
      [QUIET]: quiet.address,
      [HOSTILE[0]]: http1.address,
      [HOSTILE[1]]: http2.address,
      [PLAIN]: `127.0.0.1:${plain.port}`,
    },
    ...Object.fromEntries(Array.from({ length: clients }, (_, client) => [tlsHost(client), tls.address])),
  }
  const file = join(folder, 'fuzz.json')
  writeFileSync(file, JSON.stringify(configFor(ways, { [SPLICED]: quiet.address }, adminPort)))
  const gateway = new HelperProcess(scope, GATEWAY_CLI, {
    args: ['serve', '--config', file],
    execArgv: [
      '--expose-gc',
      '--disable-warning=ExperimentalWarning',
      '--enable-source-maps',
      '--import',
      programFile('gateway-probe'),
    ],
    env: { API_KEY: SECRET },
  })
  const [, url] = await gateway.untilSaid(/listening on (\S+)/)
  const port = Number(new URL(url as string).port)
  const bystander = new HelperProcess(scope, programFile('bystander-program'))
  const setup: BystanderSetup = {
    tunnelUrl: `ws://127.0.0.1:${port}/upstreamproxy/ws`,
    credentials: BYSTANDER,
    host: PLAIN,
    gatewayPid: gateway.process.pid as number,
    serverPid: plain.pid,
    gatewayCa: rootPem,
    controlPid: control.pid,
    controlPort: control.port,
    controlCa: originCa.rootPem,
  }
  bystander.process.send(setup)
  const origins = [quiet, http1, http2, tls]
  return new Arena({ gateway, bystander, seen, origins, folder, port, adminPort, gatewayCa: rootPem, tlsFates })
}

/** Each host's way to its origin: those with a rule, and those without. */
function configFor(ruled: Record<string, string>, spliced: Record<string, string>, adminPort: number): object {
  const connectTo = Object.entries({ ...ruled, ...spliced }).map(([host, way]) => [`${host}:443`, way])
  const rule = [{ transform: [{ headers: { authorization: `Bearer \${env:API_KEY}` } }] }]
  return {
    listen: '127.0.0.1:0',
    admin: { listen: `127.0.0.1:${adminPort}` },
    audit: 'audit.jsonl',
    ca: { certificate: 'ca.pem', key: 'ca.key' },
    sessions: [FUZZER, BYSTANDER].map(({ session, token }) => ({ id: session, tokenSha256: hashToken(token) })),
    upstream: { caFiles: ['root.pem'], connectTo: Object.fromEntries(connectTo) },
    hosts: Object.fromEntries(Object.keys(ruled).map((host) => [host, rule])),
  }
}

/** The host of a client for origins that do not speak TLS. */
export function tlsHost(client: number): string {
  return `tls${client}.example.com`
}

async function startPlainServer(
  scope: Scope,
  certificate: TestCertificate,
): Promise<{ readonly port: number; readonly pid: number }> {
  const server = new HelperProcess(scope, programFile('plain-server'))
  return { port: await server.ask<number>(certificate), pid: server.process.pid as number }
}

function programFile(name: string): string {
  return fileURLToPath(new URL(`./${name}.js`, import.meta.url))
}

async function failOnClose(socket: TLSSocket): Promise<never> {
  await once(socket, 'close')
  throw new Error('closed in the handshake')
}
