// The gateway's own HTTP front: the WebSocket endpoint, the CA certificate, health. It checks who comes, and hands each
// WebSocket to a tunnel. The only file that knows every part.

import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { type ServerOptions, type WebSocket, WebSocketServer } from 'ws'
import { type AuditRecord, type AuditSink, functionSink, openAudit } from './audit.js'
import { CertificateAuthority } from './certificate-authority.js'
import { ChunkStream } from './chunk-stream.js'
import type { GatewayConfig } from './config.js'
import { DEFAULT_INTERCEPT_LIMITS, type InterceptLimits, LeafContexts } from './intercept.js'
import { encodeRefusal, Refusal, refusalBody, refusalHeaders } from './refusal.js'
import { type Session, Sessions } from './sessions.js'
import { serveTunnel, type TunnelContext } from './tunnel.js'
import { Dialer, type Lookup } from './upstream.js'

/** What a program that embeds the gateway can set besides the config. All of it is optional. */
export interface GatewayOptions {
  /** Takes the audit's records instead of the target in the config. */
  readonly audit?: (record: AuditRecord) => void
  /** Takes warnings about the gateway itself, one line each. Default: `process.emitWarning`. */
  readonly warn?: (message: string) => void
  /** Resolves host names to addresses. Default: the system's resolver. Its answers are checked either way. */
  readonly lookup?: Lookup
  /** Milliseconds until a CONNECT head must be there. Default 10,000: relays send it with the first message. */
  readonly connectHeadTimeoutMs?: number
  /** Milliseconds for resolving, connecting and TLS to an origin. Default 15,000: three SYNs and a handshake. */
  readonly dialTimeoutMs?: number
  /** Milliseconds from the end of a request to the head of its answer. Default 120,000: models think long. */
  readonly responseHeadTimeoutMs?: number
  /** Milliseconds that an intercepted client has for its TLS handshake and for a request head. Default 60,000 each. */
  readonly interceptLimits?: InterceptLimits
  /** Tunnels at once; one more is answered 503. Default 10,000, some 100 KiB each. */
  readonly maxTunnels?: number
}

/** A running gateway. */
export interface Gateway {
  /** The base that relays are given, `http://127.0.0.1:8443`. */
  readonly url: string
  readonly port: number
  /** The certificate that clients of intercepted hosts must trust. */
  readonly caCertificatePem: string
  /**
   * Stops listening, lets tunnels go on for `graceMs` (default 0), then cuts those that are left. Called again while
   * it waits, without a grace, it waits no longer.
   */
  close(options?: { readonly graceMs?: number }): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Received messages: the wire's own limit is far lower, but other relays may send larger ones. */
const MAX_RECEIVED_MESSAGE_BYTES = 4 * 1_048_576
/** After our close frame the peer has this long to answer with its own. */
const CLOSE_TIMEOUT_MS = 10_000

/**
 * Starts a gateway; resolves when it listens.
 * @throws {GatewayStartError} when a certificate cannot be used, the audit not opened, or the address not bound
 */
export async function startGateway(config: GatewayConfig, options: GatewayOptions = {}): Promise<Gateway> {
  const parts = await prepare(config, options)
  const audit = await startStep('audit', () => {
    return options.audit === undefined ? openAudit(config.audit, warnerOf(options)) : functionSink(options.audit)
  })
  const front = new Front(config, options, parts, audit)
  try {
    await startStep('listen', () => front.listen())
  } catch (error) {
    await audit.close()
    throw error
  }
  return front
}

/**
 * Tries everything that `startGateway` would use, without listening.
 * @throws {GatewayStartError}
 */
export async function checkGatewayConfig(config: GatewayConfig): Promise<void> {
  await prepare(config, {})
}

/** A gateway that cannot start. `key` is the part of the config that it is about. */
export class GatewayStartError extends Error {
  override readonly name = 'GatewayStartError'
  readonly key: string

  constructor(key: string, message: string) {
    super(message)
    this.key = key
  }
}

interface GatewayParts {
  readonly authority: CertificateAuthority
  readonly dialer: Dialer
  readonly server: Server
}

async function prepare(config: GatewayConfig, options: GatewayOptions): Promise<GatewayParts> {
  const { certificatePem, privateKeyPem } = config.ca
  const authority = await startStep('ca', () => {
    return CertificateAuthority.load({ certificatePem, privateKeyPem: privateKeyPem.reveal() })
  })
  const dialer = await startStep('upstream.caFiles', () => {
    return new Dialer(config.upstream, { lookup: options.lookup, timeoutMs: options.dialTimeoutMs ?? 15_000 })
  })
  return { authority, dialer, server: await startStep('tls', () => createFront(config)) }
}

/** Neither OpenSSL's messages nor the system's quote what they were given. */
async function startStep<T>(key: string, step: () => T | Promise<T>): Promise<T> {
  try {
    return await step()
  } catch (error) {
    throw new GatewayStartError(key, (error as Error).message)
  }
}

class Front implements Gateway {
  readonly caCertificatePem: string
  readonly #config: GatewayConfig
  readonly #audit: AuditSink
  readonly #sessions: Sessions
  readonly #server: Server
  readonly #webSockets: WebSocketServer
  readonly #context: TunnelContext
  readonly #warn: (message: string) => void
  readonly #maxTunnels: number
  readonly #tunnels = new Set<Promise<void>>()
  #closing: Promise<void> | undefined
  readonly #graceIsOver = new AbortController()
  #port = 0

  constructor(config: GatewayConfig, options: GatewayOptions, parts: GatewayParts, audit: AuditSink) {
    this.#config = config
    this.#audit = audit
    this.#warn = warnerOf(options)
    this.#maxTunnels = options.maxTunnels ?? 10_000
    this.#sessions = new Sessions(config.sessions)
    this.caCertificatePem = parts.authority.certificatePem
    this.#context = {
      policy: { default: config.default, allow: [], deny: [], pinned: [], hosts: config.hosts },
      authority: parts.authority,
      leafContexts: new LeafContexts(),
      dialer: parts.dialer,
      audit: (record) => this.#audit.write(record),
      connectHeadTimeoutMs: options.connectHeadTimeoutMs ?? 10_000,
      responseHeadTimeoutMs: options.responseHeadTimeoutMs ?? 120_000,
      interceptLimits: options.interceptLimits ?? DEFAULT_INTERCEPT_LIMITS,
    }
    this.#webSockets = createWebSocketServer()
    this.#server = parts.server
    this.#server.on('request', (request, response) => this.#onRequest(request, response))
    this.#server.on('upgrade', (request, socket, head) => this.#onUpgrade(request, socket, head))
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

  listen(): Promise<void> {
    const { host, port } = this.#config.listen
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
    await Promise.all([stopped, ...this.#tunnels])
    await this.#audit.close()
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
      void Promise.all(this.#tunnels).then(done)
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

  #onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', ignoreError)
    try {
      const session = this.#admit(request)
      this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => this.#onWebSocket(webSocket, session))
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      socket.end(encodeRefusal(error), () => socket.destroy())
    }
  }

  /**
   * Who this is, and whether it may open a tunnel.
   * @throws {Refusal}
   */
  #admit(request: IncomingMessage): Session {
    if (pathOf(request) !== this.#config.paths.tunnel) throw new Refusal('not-found', 'nothing is here')
    const session = this.#sessions.authenticateBearer(request.headers.authorization)
    if (session === undefined) throw new Refusal('unauthorized', 'the session token is missing or not known')
    const mediaType = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase()
    if (mediaType !== 'application/proto') {
      throw new Refusal('unsupported-media-type', 'Content-Type is not application/proto')
    }
    if (this.#tunnels.size >= this.#maxTunnels || this.#closing !== undefined) {
      throw new Refusal('too-many-tunnels', 'the gateway takes no more tunnels now')
    }
    return session
  }

  #onWebSocket(webSocket: WebSocket, session: Session): void {
    const tunnel = serveTunnel(new ChunkStream(webSocket), session, this.#context).finally(() => {
      this.#tunnels.delete(tunnel)
    })
    this.#tunnels.add(tunnel)
  }
}

function warnerOf({ warn }: GatewayOptions): (message: string) => void {
  return warn ?? ((message) => process.emitWarning(message))
}

function createFront(config: GatewayConfig): Server {
  // A relay sends a short head at once; whoever does not is cut off.
  const limits = { headersTimeout: 10_000, requestTimeout: 10_000, keepAlive: true, keepAliveInitialDelay: 30_000 }
  if (config.tls === undefined) return createHttpServer(limits)
  const { certificatePem, privateKeyPem } = config.tls
  return createHttpsServer({ ...limits, minVersion: 'TLSv1.2', cert: certificatePem, key: privateKeyPem.reveal() })
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
