// A gateway with an origin behind it, for tests: both on free ports of loopback, certificates in a temporary folder.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import {
  type AuditRecord,
  type Gateway,
  type GatewayConfig,
  type GatewayOptions,
  hashToken,
  parseGatewayConfig,
  startGateway,
} from 'ccr-upstream-gateway'
import { startHttp2Origin } from '../support/http2-origin.js'
import { type HttpsOrigin, startHttpsOrigin } from '../support/https-origin.js'
import { createTestCa, type TestCa } from '../support/test-ca.js'
import { type Credentials, connect, startTls } from './wire-client.js'

export const SECRET = 's3cret/sentinel+value=='
export const CREDENTIALS: Credentials = { session: 'session-1', token: 'tok-3n-0123456789abcdef' }

/** What a test may set: lines of the config's `hosts`, and more top-level lines. */
export interface FixtureOptions {
  readonly default?: 'allow' | 'deny'
  /** The config's `allow`, `deny` and `pinned`. */
  readonly policy?: Record<string, readonly string[]>
  /** The value of `hosts`, as JSON. */
  readonly hosts?: Record<string, unknown>
  /** `host:port` → where; `ORIGIN` is the origin's address. */
  readonly connectTo?: Record<string, string>
  readonly upstream?: Record<string, unknown>
  /** What the origin speaks; `h2` is startHttp2Origin, with paths of its own. Default HTTP/1.1. */
  readonly origin?: 'h2' | 'http/1.1'
  /** The root of the origin's certificate, for tests with more than one origin. Default: a new one. */
  readonly originCa?: TestCa
  /** Sessions besides the one of CREDENTIALS. */
  readonly sessions?: readonly Credentials[]
  /** Whether the gateway trusts the origin's root. Default true. */
  readonly trustOrigin?: boolean
  readonly gateway?: GatewayOptions
}

export interface Fixture {
  readonly config: GatewayConfig
  readonly gateway: Gateway
  readonly origin: HttpsOrigin
  readonly originCa: TestCa
  readonly tunnelUrl: string
  readonly audit: readonly AuditRecord[]
  /** The next record that is not there yet, or the first. */
  nextAudit(): Promise<AuditRecord>
}

const RULED: Record<string, unknown> = {
  'api.example.com': [{ transform: [{ headers: { authorization: `Bearer \${env:API_KEY}` } }] }],
}

/** Starts both; they are closed when the test ends. */
export async function startFixture(context: TestContext, options: FixtureOptions = {}): Promise<Fixture> {
  const originCa = options.originCa ?? (await createTestCa('origin root'))
  const names = ['api.example.com', 'other.example.com', 'plain.example.com', 'localhost', '127.0.0.1']
  const start = options.origin === 'h2' ? startHttp2Origin : startHttpsOrigin
  const origin = await start(await originCa.serverCertificate(...names))
  const config = await writeConfig(context, options, origin, originCa)
  const audit: AuditRecord[] = []
  const waiting: ((record: AuditRecord) => void)[] = []
  const take = (record: AuditRecord) => {
    audit.push(record)
    waiting.shift()?.(record)
  }
  const gateway = await startGateway(config, { audit: take, ...options.gateway })
  context.after(async () => {
    await gateway.close()
    await origin.close()
  })
  let taken = 0
  const nextAudit = async () => audit[taken++] ?? (await new Promise<AuditRecord>((resolve) => waiting.push(resolve)))
  const tunnelUrl = `${gateway.url.replace('http', 'ws')}/upstreamproxy/ws`
  return { config, gateway, origin, originCa, tunnelUrl, audit, nextAudit }
}

async function writeConfig(
  context: TestContext,
  options: FixtureOptions,
  origin: HttpsOrigin,
  originCa: TestCa,
): Promise<GatewayConfig> {
  const folder = await mkdtemp(join(tmpdir(), 'gateway-test-'))
  context.after(() => rm(folder, { recursive: true }))
  const interceptionCa = await createTestCa('interception root')
  await writeFile(join(folder, 'ca.pem'), interceptionCa.rootPem)
  await writeFile(join(folder, 'ca.key'), interceptionCa.rootKeyPem, { mode: 0o600 })
  await writeFile(join(folder, 'origin-root.pem'), originCa.rootPem)
  const redirects = options.connectTo ?? { 'api.example.com:443': 'ORIGIN', 'plain.example.com:443': 'ORIGIN' }
  const config = {
    default: options.default ?? 'allow',
    ...options.policy,
    listen: '127.0.0.1:0',
    ca: { certificate: 'ca.pem', key: 'ca.key' },
    sessions: [CREDENTIALS, ...(options.sessions ?? [])].map(({ session, token }) => {
      return { id: session, tokenSha256: hashToken(token) }
    }),
    upstream: {
      caFiles: options.trustOrigin === false ? [] : ['origin-root.pem'],
      connectTo: Object.fromEntries(
        Object.entries(redirects).map(([from, to]) => [from, to === 'ORIGIN' ? origin.address : to]),
      ),
      ...options.upstream,
    },
    hosts: options.hosts ?? RULED,
  }
  return parseGatewayConfig(JSON.stringify(config), { file: 'test.json', env: { API_KEY: SECRET }, baseDir: folder })
}

/** CONNECT and TLS to an intercepted host. */
export async function openIntercepted(fixture: Fixture, host = 'api.example.com', credentials = CREDENTIALS) {
  const { stream, status } = await connect(fixture.tunnelUrl, credentials, `${host}:443`)
  if (status !== 200) throw new Error(`CONNECT was answered ${status}`)
  const socket = await startTls(stream, fixture.gateway.caCertificatePem, host)
  return { stream, socket }
}

/** A node:http request over a connection that is already there. */
export function requestOver(
  socket: import('node:stream').Duplex,
  options: { method?: string; path?: string; headers?: Record<string, string | string[]> },
): ClientRequest {
  return httpRequest({
    createConnection: () => socket,
    method: options.method ?? 'GET',
    path: options.path ?? '/',
    headers: { host: 'api.example.com', ...options.headers },
  })
}

export function responseOf(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => request.once('response', resolve).once('error', reject))
}

export async function textOf(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = []
  for await (const bytes of response) pieces.push(bytes as Buffer)
  return Buffer.concat(pieces).toString('utf8')
}
