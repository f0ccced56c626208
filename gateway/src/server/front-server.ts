// The gateway's own listener: the CA certificate, health, and the upgrade to a WebSocket. It checks who comes; what comes over
// the WebSocket is a tunnel's.

import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type ServerOptions, type WebSocket, WebSocketServer } from 'ws'
import type { GatewayConfig } from '../config/config.js'
import type { ListenAddress } from '../config/config-schema.js'
import { Guard } from '../guard.js'
import { encodeRefusal, Refusal, type RefusalCode, refusalBody, refusalHeaders } from '../refusal.js'
import type { Session } from '../sessions/session.js'
import { type ActiveConfig, tlsOptions } from './active-config.js'
import { listen } from './listen.js'
import { PendingConnections, type PendingLimits } from './pending-connections.js'

/** What the listener takes from the gateway, and reports to it. */
export interface FrontContext {
  /** The config in use. */
  readonly active: () => ActiveConfig
  readonly isFull: () => boolean
  readonly onWebSocket: (webSocket: WebSocket, session: Session) => void
  readonly onRefusedUpgrade: (code: RefusalCode) => void
  readonly reportDefect: (thrown: unknown) => void
  readonly pendingLimits: PendingLimits
}

/** Received messages: the wire's own limit is far lower, but other relays may send larger ones. */
const MAX_RECEIVED_MESSAGE_BYTES = 4 * 1_048_576
/** After our close frame the peer has this long to answer with its own. */
const CLOSE_TIMEOUT_MS = 10_000
/** Tunnels of agents are short. */
const RETRY_AFTER_SECONDS = 5

export class FrontServer {
  readonly #context: FrontContext
  readonly #server: Server
  readonly #pending: PendingConnections
  readonly #webSockets = createWebSocketServer()

  constructor({ config }: ActiveConfig, context: FrontContext) {
    this.#context = context
    this.#server = createServer(config)
    const guard = new Guard(context.reportDefect)
    this.#pending = new PendingConnections(this.#server, guard, context.pendingLimits)
    guard.on(this.#server, 'request', (request: IncomingMessage, response: ServerResponse) => {
      this.#guardOf(response).wrap(() => this.#onRequest(request, response))()
    })
    guard.on(this.#server, 'upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      const guard = this.#guardOf(socket)
      guard.ignoreErrors(socket)
      guard.watch(this.#onUpgrade(request, socket, head, guard))
    })
  }

  /** Resolves with the bound port. */
  listen(address: ListenAddress, onFailure: (error: Error) => void): Promise<number> {
    return listen(this.#server, address, onFailure)
  }

  /** Takes the certificate of another config. */
  setCertificate({ tls }: GatewayConfig): void {
    if (tls !== undefined) (this.#server as HttpsServer).setSecureContext(tlsOptions(tls))
  }

  /** Stops listening; resolves when the last connection has ended. */
  close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeIdleConnections()
    return closed
  }

  /** Cuts every connection. */
  cut(): void {
    for (const webSocket of this.#webSockets.clients) webSocket.terminate()
    this.#server.closeAllConnections()
  }

  /** What throws is the end of its own connection. */
  #guardOf(connection: { destroy(): void }): Guard {
    return new Guard((thrown) => {
      connection.destroy()
      this.#context.reportDefect(thrown)
    })
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    const { config } = this.#context.active()
    const path = pathOf(request)
    const isRead = request.method === 'GET' || request.method === 'HEAD'
    if (path === config.paths.caCertificate && isRead) {
      respond(response, 'application/x-pem-file', config.ca.certificatePem)
    } else if (path === config.paths.health && isRead) {
      respond(response, 'text/plain', 'ok')
    } else if (path === config.paths.tunnel) {
      refuseResponse(response, new Refusal('upgrade-required', 'this is a WebSocket endpoint'))
    } else {
      refuseResponse(response, new Refusal('not-found', 'nothing is here'))
    }
  }

  async #onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer, guard: Guard): Promise<void> {
    try {
      const session = await this.#admit(request, this.#context.active())
      if (socket.destroyed) return
      guard.once(socket, 'close', session.usage.takeWebSocket(session.policy.limits))
      this.#pending.release(socket as Socket)
      this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        this.#context.onWebSocket(webSocket, session)
      })
    } catch (error) {
      if (!(error instanceof Refusal)) this.#context.reportDefect(error)
      this.#refuseUpgrade(socket, error instanceof Refusal ? error : new Refusal('internal', 'the upgrade failed'))
    }
  }

  #refuseUpgrade(socket: Duplex, refusal: Refusal): void {
    this.#context.onRefusedUpgrade(refusal.code)
    socket.end(encodeRefusal(refusal), () => socket.destroy())
  }

  /**
   * Who this is, and whether there is room.
   * @throws {Refusal}
   */
  async #admit(request: IncomingMessage, { config, sessions }: ActiveConfig): Promise<Session> {
    if (pathOf(request) !== config.paths.tunnel) throw new Refusal('not-found', 'nothing is here')
    const session = await sessions.admit(request.headers.authorization)
    const mediaType = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase()
    if (mediaType !== 'application/proto') {
      throw new Refusal('unsupported-media-type', 'Content-Type is not application/proto')
    }
    if (this.#context.isFull()) {
      throw new Refusal('too-many-tunnels', 'the gateway takes no more tunnels now', RETRY_AFTER_SECONDS)
    }
    return session
  }
}

function createServer({ tls }: GatewayConfig): Server {
  // Time is limited by PendingConnections: node counts the time of a stopped process, and looks every 30 s.
  const options = { headersTimeout: 0, requestTimeout: 0, keepAlive: true, keepAliveInitialDelay: 30_000 }
  return tls === undefined ? createHttpServer(options) : createHttpsServer({ ...options, ...tlsOptions(tls) })
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
  response.writeHead(200, {
    'Content-Type': contentType,
    'Content-Length': Buffer.byteLength(body),
    Connection: 'close',
  })
  response.end(body)
}

function refuseResponse(response: ServerResponse, refusal: Refusal): void {
  response.writeHead(refusal.status, refusal.reason, refusalHeaders(refusal))
  response.end(refusalBody(refusal))
}
