// The gateway's own server: the WebSocket endpoint, the CA certificate, health. It checks who comes, and hands each
// WebSocket to a tunnel.

import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { type ServerOptions, type WebSocket, WebSocketServer } from 'ws'
import type { AuditRecord } from '../audit/audit-record.js'
import type { AuditSink } from '../audit/audit-sink.js'
import { Metrics } from '../audit/metrics.js'
import type { GatewayConfig } from '../config/config.js'
import type { ListenAddress } from '../config/config-schema.js'
import { DEFAULT_INTERCEPT_LIMITS } from '../intercept/intercept.js'
import { encodeRefusal, Refusal, refusalBody, refusalHeaders } from '../refusal.js'
import { onExpiry, type Session } from '../sessions/session.js'
import type { SessionUsages } from '../sessions/sessions.js'
import { ActiveConfig, type ActiveConfigOptions, type SharedContext, tlsOptions } from './active-config.js'
import { AdminServer } from './admin-server.js'
import { ChunkStream } from './chunk-stream.js'
import type { Gateway, GatewayOptions } from './gateway.js'
import { SessionEndedError } from './session-ended-error.js'
import { GatewayStartError, startStep } from './start-error.js'
import { serveTunnel } from './tunnel.js'

/** Received messages: the wire's own limit is far lower, but other relays may send larger ones. */
const MAX_RECEIVED_MESSAGE_BYTES = 4 * 1_048_576
/** After our close frame the peer has this long to answer with its own. */
const CLOSE_TIMEOUT_MS = 10_000
/** Tunnels of agents are short. */
const RETRY_AFTER_SECONDS = 5

/** What of `options` an ActiveConfig takes. */
export function activeConfigOptions(options: GatewayOptions, usages: SessionUsages): ActiveConfigOptions {
  const { lookup, dialTimeoutMs = 15_000 } = options
  return { lookup, dialTimeoutMs, usages, report: warnerOf(options) }
}

/** One tunnel, and how to end it before its time. */
interface OpenTunnel {
  readonly session: Session
  readonly stream: ChunkStream
  readonly done: Promise<void>
}

export class GatewayServer implements Gateway {
  readonly #options: GatewayOptions
  readonly #usages: SessionUsages
  readonly #audit: AuditSink
  readonly #metrics: Metrics
  readonly #admin: AdminServer
  readonly #server: Server
  readonly #webSockets: WebSocketServer
  readonly #shared: SharedContext
  readonly #warn: (message: string) => void
  readonly #maxTunnels: number
  readonly #tunnels = new Set<OpenTunnel>()
  readonly #graceIsOver = new AbortController()
  /** The whole of the config in use. A reload replaces it in one go. */
  #active: ActiveConfig
  #reloading: Promise<void> = Promise.resolve()
  #closing: Promise<void> | undefined
  #port = 0
  #adminPort: number | undefined

  constructor(active: ActiveConfig, options: GatewayOptions, usages: SessionUsages, audit: AuditSink) {
    this.#active = active
    this.#options = options
    this.#usages = usages
    this.#audit = audit
    this.#warn = warnerOf(options)
    this.#maxTunnels = options.maxTunnels ?? 10_000
    this.#metrics = new Metrics({ openTunnels: () => this.#tunnels.size, lostAuditLines: () => audit.lost })
    this.#admin = new AdminServer(this.#metrics, () => this.#closing === undefined)
    this.#shared = {
      audit: (record) => this.#record(record),
      warn: (message) => this.#warn(message),
      connectHeadTimeoutMs: options.connectHeadTimeoutMs ?? 10_000,
      connectWaitMs: options.connectWaitMs ?? 600_000,
      responseHeadTimeoutMs: options.responseHeadTimeoutMs ?? 120_000,
      interceptLimits: options.interceptLimits ?? DEFAULT_INTERCEPT_LIMITS,
    }
    this.#webSockets = createWebSocketServer()
    this.#server = createServer(active.config)
    this.#server.on('request', (request, response) => this.#onRequest(request, response))
    this.#server.on('upgrade', (request, socket, head) => void this.#onUpgrade(request, socket, head))
  }

  /** The bound port; still known when the gateway is closed. */
  get port(): number {
    return this.#port
  }

  get url(): string {
    const { host } = this.#config.listen
    const scheme = this.#config.tls === undefined ? 'http' : 'https'
    return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${this.port}`
  }

  get adminPort(): number | undefined {
    return this.#adminPort
  }

  get caCertificatePem(): string {
    return this.#active.config.ca.certificatePem
  }

  get #config(): GatewayConfig {
    return this.#active.config
  }

  async listen(): Promise<void> {
    const { listen, admin } = this.#config
    await startStep(this.#config, ['listen'], () => this.#listen(listen))
    if (admin === undefined) return
    this.#adminPort = await startStep(this.#config, ['admin', 'listen'], () => this.#admin.listen(admin.listen))
  }

  #listen({ host, port }: ListenAddress): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ host, port }, () => {
        this.#server.off('error', reject)
        this.#port = (this.#server.address() as AddressInfo).port
        this.#server.on('error', (error) => this.#warn(`the listener failed: ${error.message}`))
        resolve()
      })
    })
  }

  /** One after the other, in the order in which they were asked for. */
  reload(config: GatewayConfig): Promise<void> {
    const done = this.#reloading.then(() => this.#reload(config))
    this.#reloading = done.catch(() => {})
    return done.then(
      () => this.#metrics.observeReload('success'),
      (error: Error) => {
        this.#metrics.observeReload('failure')
        throw error
      },
    )
  }

  async #reload(config: GatewayConfig): Promise<void> {
    assertReloadable(this.#config, config)
    const next = await ActiveConfig.start(config, activeConfigOptions(this.#options, this.#usages))
    if (this.#closing !== undefined) {
      next.stop()
      return
    }
    // From here on nothing can fail.
    this.#active.stop()
    this.#active = next
    if (config.tls !== undefined) (this.#server as HttpsServer).setSecureContext(tlsOptions(config.tls))
    for (const { session, stream } of this.#tunnels) {
      if (!next.sessions.admits(session)) stream.destroy(new SessionEndedError())
    }
  }

  noteFailedReload(): void {
    this.#metrics.observeReload('failure')
  }

  reopenAudit(): Promise<void> {
    return this.#audit.reopen()
  }

  close({ graceMs = 0 }: { readonly graceMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(graceMs)
    if (graceMs === 0) this.#graceIsOver.abort('no grace')
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(graceMs: number): Promise<void> {
    const stopped = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeIdleConnections()
    if (graceMs > 0) await this.#tunnelsEnd(graceMs)
    for (const socket of this.#webSockets.clients) socket.terminate()
    this.#server.closeAllConnections()
    await Promise.all([stopped, ...this.#tunnelEnds()])
    this.#active.stop()
    // Last, so that probes and metrics are there until the end.
    if (this.#adminPort !== undefined) await this.#admin.close()
    await this.#audit.close()
  }

  #tunnelEnds(): Promise<void>[] {
    return Array.from(this.#tunnels, ({ done }) => done)
  }

  /** Waits until the last tunnel has ended, `graceMs` at most. */
  #tunnelsEnd(graceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        resolve()
      }
      const timer = setTimeout(done, graceMs)
      this.#graceIsOver.signal.addEventListener('abort', done, { once: true })
      void Promise.all(this.#tunnelEnds()).then(done)
    })
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    const { tunnel, caCertificate, health } = this.#config.paths
    const path = pathOf(request)
    const isRead = request.method === 'GET' || request.method === 'HEAD'
    if (path === caCertificate && isRead) respond(response, 'application/x-pem-file', this.caCertificatePem)
    else if (path === health && isRead) respond(response, 'text/plain', 'ok')
    else if (path === tunnel) refuseResponse(response, new Refusal('upgrade-required', 'this is a WebSocket endpoint'))
    else refuseResponse(response, new Refusal('not-found', 'nothing is here'))
  }

  async #onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', ignoreError)
    try {
      // A reload while the token is being checked changes nothing for this tunnel.
      const active = this.#active
      const session = await this.#admit(request, active)
      if (socket.destroyed) return
      const giveBack = session.usage.takeTunnel(session.policy.limits)
      socket.once('close', giveBack)
      this.#webSockets.handleUpgrade(request, socket, head, (webSocket) =>
        this.#onWebSocket(webSocket, session, active),
      )
    } catch (error) {
      const refusal = error instanceof Refusal ? error : new Refusal('internal', 'the upgrade failed')
      this.#metrics.observeRefusedUpgrade(refusal.code)
      socket.end(encodeRefusal(refusal), () => socket.destroy())
    }
  }

  /**
   * Who this is, and whether it may open a tunnel.
   * @throws {Refusal}
   */
  async #admit(request: IncomingMessage, { config, sessions }: ActiveConfig): Promise<Session> {
    if (pathOf(request) !== config.paths.tunnel) throw new Refusal('not-found', 'nothing is here')
    const session = await sessions.authenticateBearer(request.headers.authorization)
    const mediaType = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase()
    if (mediaType !== 'application/proto') {
      throw new Refusal('unsupported-media-type', 'Content-Type is not application/proto')
    }
    if (this.#tunnels.size >= this.#maxTunnels || this.#closing !== undefined) {
      throw new Refusal('too-many-tunnels', 'the gateway takes no more tunnels now', RETRY_AFTER_SECONDS)
    }
    return session
  }

  #onWebSocket(webSocket: WebSocket, session: Session, active: ActiveConfig): void {
    const stream = new ChunkStream(webSocket)
    const stopWaiting = onExpiry(session, () => stream.destroy(new SessionEndedError()))
    const done = serveTunnel(stream, session, active.contextFor(session, this.#shared)).finally(() => {
      stopWaiting()
      this.#tunnels.delete(tunnel)
    })
    const tunnel = { session, stream, done }
    this.#tunnels.add(tunnel)
  }

  #record(record: AuditRecord): void {
    this.#metrics.observe(record)
    try {
      this.#audit.write(record)
    } catch {
      this.#warn('a record was not taken by the function that the audit goes to')
    }
  }
}

/** What only a restart can change. */
function assertReloadable(current: GatewayConfig, next: GatewayConfig): void {
  const fixed = ['listen', 'admin', 'audit'] as const
  for (const key of fixed) {
    if (JSON.stringify(current[key]) === JSON.stringify(next[key])) continue
    throw new GatewayStartError(next, [key], 'cannot be changed by a reload, only by a restart')
  }
  if ((current.tls === undefined) === (next.tls === undefined)) return
  throw new GatewayStartError(next, ['tls'], 'cannot come or go by a reload, only by a restart')
}

/** Where warnings about the gateway itself go. */
export function warnerOf({ warn }: GatewayOptions): (message: string) => void {
  return warn ?? ((message) => process.emitWarning(message))
}

function createServer({ tls }: GatewayConfig): Server {
  // A relay sends a short head at once; whoever does not is cut off.
  const limits = { headersTimeout: 10_000, requestTimeout: 10_000, keepAlive: true, keepAliveInitialDelay: 30_000 }
  return tls === undefined ? createHttpServer(limits) : createHttpsServer({ ...limits, ...tlsOptions(tls) })
}

function createWebSocketServer(): WebSocketServer {
  const options: ServerOptions & { closeTimeout: number } = {
    noServer: true,
    clientTracking: true,
    perMessageDeflate: false,
    maxPayload: MAX_RECEIVED_MESSAGE_BYTES,
    closeTimeout: CLOSE_TIMEOUT_MS,
  }
  return new WebSocketServer(options)
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? '').split('?', 1)[0] as string
}

function respond(response: ServerResponse, contentType: string, body: string): void {
  response.writeHead(200, { 'Content-Type': contentType, 'Content-Length': Buffer.byteLength(body) })
  response.end(body)
}

function refuseResponse(response: ServerResponse, refusal: Refusal): void {
  response.writeHead(refusal.status, refusal.reason, refusalHeaders(refusal))
  response.end(refusalBody(refusal))
}

function ignoreError(): void {}
