// A gateway in this process with an origin after it, for tests: both real, on free ports of loopback, closed with the test.
// Whatever it does wrong beside its answers (a warning of the process, a rejection without a handler) fails the test.

import { mkdirSync, writeFileSync } from 'node:fs'
import {
  type ClientRequest,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
} from 'node:http'
import type { ClientHttp2Session } from 'node:http2'
import { isIP } from 'node:net'
import { dirname, join } from 'node:path'
import type { Duplex } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'
import {
  type AuditRecord,
  type Gateway,
  type GatewayConfig,
  type GatewayOptions,
  hashToken,
  parseGatewayConfig,
  startGateway as start,
} from 'ccr-upstream-gateway'
import type { Listening } from '../support/listening.js'
import { Mailbox } from '../support/mailbox.js'
import { type HttpOriginSetup, type Origin, originCa, startOrigin } from '../support/origin.js'
import { createTempDirectory, type Scope } from '../support/temp-dir.js'
import { createTestCa } from '../support/test-ca.js'
import { processWatch } from '../support/watched-process.js'
import { Http1Client } from './http1-client.js'
import { startHttp2 } from './http2-client.js'
import { type ConnectAnswer, type Credentials, connect, startTls, type WireStream } from './wire-client.js'

export const SECRET = 's3cret/sentinel+value=='
export const CREDENTIALS: Credentials = { session: 'session-1', token: 'tok-3n-0123456789abcdef' }
/** The host that has a rule where a test does not say which have; the origin has a certificate for each of the three. */
export const HOST = 'api.example.com'
const HOSTS = [HOST, 'other.example.com', 'plain.example.com']

const interceptionCa = await createTestCa('interception root')

type Keys = Record<string, unknown>

/** What a test may set; most of it are parts of the config (doc/gateway.md). */
export interface GatewaySetup {
  /** `hosts`. Default: a bearer for HOST. */
  readonly rules?: Keys
  readonly policies?: Keys
  readonly limits?: Keys
  /** Sessions besides the one of CREDENTIALS, with what else the config says of each. */
  readonly sessions?: readonly (Credentials & Keys)[]
  /** Keys of `upstream`, over those of this fixture: the origin's root, and the way to the origin for all its hosts. */
  readonly upstream?: Keys
  /** `host:port` → address, besides the way to the origin. */
  readonly connectTo?: Readonly<Record<string, string>>
  /** Any other top-level keys of the config, and those above as a whole. */
  readonly config?: Keys
  /** Files beside the config, by name. */
  readonly files?: Readonly<Record<string, string>>
  /** What `${env:NAME}` finds. Default: API_KEY, with the secret. */
  readonly env?: Readonly<Record<string, string>>
  /** What the program that embeds a gateway may set. */
  readonly options?: GatewayOptions
  /** One that runs already, or how to start one. */
  readonly origin?: Listening | HttpOriginSetup
}

export interface ConnectOptions {
  readonly credentials?: Credentials
  /** ALPN. Default: none is offered. */
  readonly protocols?: string[]
  /** The server name; null for none. Default: the host. */
  readonly servername?: string | null
  /** Whom the client trusts. Default: the gateway. */
  readonly ca?: string
}

/** The inside of a tunnel. */
export interface Connected {
  /** The tunnel, with the TLS in it. */
  readonly stream: WireStream
  /** What is decrypted. */
  readonly socket: TLSSocket
}

export interface CallOptions {
  readonly path?: string
  readonly method?: string
  readonly headers?: OutgoingHttpHeaders
  /** Sent in chunks, unless the headers have its length. */
  readonly body?: string
  readonly host?: string
  readonly credentials?: Credentials
}

export interface CallAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

/** Starts an origin, unless it is given one, and a gateway that leads to it. */
export function startGateway<O extends Listening>(
  scope: Scope,
  setup: GatewaySetup & { readonly origin: O },
): Promise<TestGateway<O>>
export function startGateway(scope: Scope, setup?: GatewaySetup): Promise<TestGateway>
export async function startGateway(scope: Scope, setup: GatewaySetup = {}): Promise<TestGateway<Listening>> {
  const { origin: given = {} } = setup
  const origin = 'address' in given ? given : await startOrigin(scope, given)
  const gateway = new TestGateway(createTempDirectory(scope, 'gateway'), origin, setup)
  await gateway.start()
  scope.after(async () => {
    await gateway.close()
    // A warning is emitted a turn after its cause.
    await nextTurn()
    processWatch.assertQuiet()
  })
  return gateway
}

export class TestGateway<O extends Listening = Origin> {
  /** Where its config and the files beside it are. */
  readonly folder: string
  readonly origin: O
  /** Records so far, unless the config has another target for them. */
  readonly audit: AuditRecord[] = []
  readonly warnings: string[] = []
  readonly #setup: GatewaySetup
  readonly #records = new Mailbox<AuditRecord>()
  readonly #waiting = new Set<() => void>()
  #running: Gateway | undefined

  /** @param folder empty */
  constructor(folder: string, origin: O, setup: GatewaySetup) {
    this.folder = folder
    this.origin = origin
    this.#setup = setup
  }

  async start(): Promise<void> {
    const { rootPem, rootKeyPem } = interceptionCa
    const files = { 'ca.pem': rootPem, 'ca.key': rootKeyPem, 'root.pem': originCa.rootPem, ...this.#setup.files }
    for (const [name, text] of Object.entries(files)) this.put(name, text)
    this.#running = await start(this.configWith({}), {
      ...(this.#setup.config?.audit === undefined && { audit: (record: AuditRecord) => this.#take(record) }),
      warn: (message) => this.warnings.push(message),
      ...this.#setup.options,
    })
  }

  /** What startGateway() of the package returned. */
  get running(): Gateway {
    return this.#running as Gateway
  }

  /** What `${env:NAME}` finds. */
  get env(): Readonly<Record<string, string>> {
    return { API_KEY: SECRET, ...this.#setup.env }
  }

  get url(): string {
    return this.running.url
  }

  get tunnelUrl(): string {
    return tunnelUrlOf(this.running)
  }

  get caCertificatePem(): string {
    return this.running.caCertificatePem
  }

  close(options?: Parameters<Gateway['close']>[0]): Promise<void> {
    return this.running.close(options)
  }

  /** Writes a file beside the config. */
  put(name: string, text: string): void {
    mkdirSync(dirname(join(this.folder, name)), { recursive: true })
    writeFileSync(join(this.folder, name), text)
  }

  /** The text of its config with other top-level keys. */
  configTextWith(keys: Keys): string {
    const { rules, policies, limits, sessions = [], upstream, connectTo, config } = this.#setup
    const ruled = rules ?? { [HOST]: [{ transform: [{ headers: { authorization: `Bearer \${env:API_KEY}` } }] }] }
    const hosts = [...HOSTS, ...Object.keys(ruled).filter((name) => !/[*:]/.test(name))]
    const toOrigin = Object.fromEntries(hosts.map((host) => [`${host}:443`, this.origin.address]))
    const all = {
      listen: '127.0.0.1:0',
      ca: { certificate: 'ca.pem', key: 'ca.key' },
      sessions: [CREDENTIALS, ...sessions].map(({ session, token, ...more }) => {
        return { id: session, tokenSha256: hashToken(token), ...more }
      }),
      upstream: { caFiles: ['root.pem'], connectTo: { ...toOrigin, ...connectTo }, ...upstream },
      hosts: ruled,
      policies,
      limits,
      ...config,
      ...keys,
    }
    return JSON.stringify(all, null, 1)
  }

  /** Its config with other top-level keys, as parsed. */
  configWith(keys: Keys): GatewayConfig {
    const env = { PATH: process.env.PATH, ...this.env }
    return parseGatewayConfig(this.configTextWith(keys), { file: 'test.json', env, baseDir: this.folder })
  }

  reload(keys: Keys): Promise<void> {
    return this.running.reload(this.configWith(keys))
  }

  /** The first record that this has not returned yet. */
  nextRecord(): Promise<AuditRecord> {
    return this.#records.next()
  }

  /** The first records, when there are so many. */
  async untilRecords(count: number): Promise<AuditRecord[]> {
    while (this.audit.length < count) await new Promise<void>((resolve) => this.#waiting.add(resolve))
    return this.audit.slice(0, count)
  }

  #take(record: AuditRecord): void {
    this.audit.push(record)
    this.#records.put(record)
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }

  /** CONNECT, as a relay sends it, and the answer to it. @param authority the port may be left out: 443 */
  openTunnel(authority = HOST, credentials = CREDENTIALS): Promise<ConnectAnswer> {
    return connect(this.tunnelUrl, credentials, /:\d+$/.test(authority) ? authority : `${authority}:443`)
  }

  /** CONNECT, and TLS with who answers in the tunnel. */
  async connect(authority = HOST, options: ConnectOptions = {}): Promise<Connected> {
    const { stream, status } = await this.openTunnel(authority, options.credentials)
    if (status !== 200) throw new Error(`CONNECT was answered ${status}`)
    const host = authority.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
    const servername = options.servername === undefined && isIP(host) === 0 ? host : (options.servername ?? undefined)
    const ca = options.ca ?? this.caCertificatePem
    return { stream, socket: await startTls(stream, ca, servername, options.protocols, host) }
  }

  /** A connection for HTTP/1.1 by hand, request after request. */
  async openHttp1(authority = HOST, options: ConnectOptions = {}): Promise<Http1Client> {
    const { stream, socket } = await this.connect(authority, options)
    return new Http1Client(stream, socket)
  }

  async openHttp2(
    authority = HOST,
    options: ConnectOptions = {},
  ): Promise<{ readonly stream: WireStream; readonly session: ClientHttp2Session }> {
    const { stream, socket } = await this.connect(authority, { protocols: ['h2'], ...options })
    return { stream, session: startHttp2(socket, authority) }
  }

  /** One request through a tunnel of its own. */
  call(options: CallOptions = {}): Promise<CallAnswer> {
    return callThrough(this.tunnelUrl, this.caCertificatePem, options)
  }

  /** The fields that the origin got, by its echo. */
  async fieldsSeen(options: CallOptions = {}): Promise<Record<string, string>> {
    return JSON.parse((await this.call(options)).text).headers
  }
}

export function tunnelUrlOf({ url }: Pick<Gateway, 'url'>): string {
  return `${url.replace('http', 'ws')}/upstreamproxy/ws`
}

/** One request through a tunnel of its own, of a gateway that may be another process. */
export async function callThrough(tunnelUrl: string, ca: string, options: CallOptions = {}): Promise<CallAnswer> {
  const { host = HOST, credentials = CREDENTIALS, headers = {}, body = '', ...rest } = options
  const { stream, status, text } = await connect(tunnelUrl, credentials, `${host}:443`)
  if (status !== 200) return { status, headers: {}, text }
  const socket = await startTls(stream, ca, host)
  const request = requestOver(socket, { ...rest, headers: { host, connection: 'close', ...headers } })
  request.end(body)
  const response = await responseOf(request)
  const answer = { status: response.statusCode ?? 0, headers: response.headers, text: await textOf(response) }
  socket.destroy()
  return answer
}

/** A node:http request over a connection that is already there. */
export function requestOver(
  socket: Duplex,
  options: { method?: string; path?: string; headers?: OutgoingHttpHeaders } = {},
): ClientRequest {
  return httpRequest({
    createConnection: () => socket,
    method: options.method ?? 'GET',
    path: options.path ?? '/',
    headers: { host: HOST, ...options.headers },
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
