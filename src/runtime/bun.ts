// The adapter for Bun: Bun.listen towards the clients, the native WebSocket towards the gateway. `ws` on Bun is a shim
// that knows neither when its bytes have left nor a time limit, and Bun's node:net has lost bytes in several releases.
//
// Rules, each learnt from what Bun does (1.4):
// - `write()` takes what fits and says how much; the rest waits here for `drain`.
// - `shutdown()` sends a FIN and keeps reading; `end()` with unread input would reset the connection.
// - The WebSocket has no drain event: `bufferedAmount` is looked at every millisecond while it is too high, and only then.
// - A paused WebSocket is resumed before it is let go, or its descriptor stays open.

import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { systemCode, UpstreamProxyError } from '../errors.js'
import type { EgressProxy } from '../protocol/egress-proxy.js'
import { encodeMessages } from '../protocol/frame.js'
import { download, downloadTimeout } from './download.js'
import {
  dialFailed,
  egressRefused,
  egressTimeout,
  egressUnreachable,
  socketBroke,
  textReceived,
  upgradeRefused,
} from './failures.js'
import type {
  ClientConnection,
  ClientHandler,
  DownloadedAnswer,
  DownloadLimits,
  GatewayDialer,
  GatewayEndpoint,
  GatewayHandler,
  GatewayRoute,
  GatewaySocket,
  Listener,
  Runtime,
  Trust,
} from './runtime.js'

// -- What is used of Bun (https://bun.sh/docs/api/tcp, https://bun.sh/docs/api/websockets) ---------------------------------

interface BunSocket {
  data: BunClientConnection
  write(bytes: Uint8Array): number
  shutdown(): void
  end(): void
  terminate(): void
  pause(): void
  resume(): void
  setNoDelay(noDelay: boolean): void
}

interface BunSocketHandler {
  open(socket: BunSocket): void
  data(socket: BunSocket, bytes: Uint8Array): void
  drain(socket: BunSocket): void
  end(socket: BunSocket): void
  close(socket: BunSocket): void
  error(socket: BunSocket, error: Error): void
}

interface BunListener {
  readonly port: number
  stop(closeActiveConnections?: boolean): void
}

declare const Bun: {
  listen(options: { hostname: string; port: number; allowHalfOpen: boolean; socket: BunSocketHandler }): BunListener
}

interface BunTlsOptions {
  readonly ca?: string
  readonly rejectUnauthorized: true
}

interface BunProxyOptions {
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
}

interface BunWebSocketOptions {
  readonly headers: Readonly<Record<string, string>>
  readonly perMessageDeflate: false
  readonly tls: BunTlsOptions
  readonly proxy?: BunProxyOptions
}

interface BunWebSocket {
  binaryType: string
  readonly readyState: number
  readonly bufferedAmount: number
  send(message: Uint8Array): void
  ping(): void
  pong(): void
  pause(): void
  resume(): void
  close(code: number): void
  terminate(): void
  addEventListener(type: 'open' | 'pong', listener: () => void): void
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void
  addEventListener(type: 'close', listener: (event: { readonly code: number }) => void): void
  addEventListener(
    type: 'error',
    listener: (event: { readonly message?: string; readonly error?: unknown }) => void,
  ): void
}

const CONNECTING = 0
const OPEN = 1

/** The runtime adapter for Bun. */
export const bunRuntime: Runtime = {
  listen,
  createTrust: (certificates) => new BunTrust(certificates),
  createGatewayDialer: (endpoint) => new BunGatewayDialer(endpoint),
  download: downloadOnBun,
}

// -- Clients ---------------------------------------------------------------------------------------------------------------

/** The only address that is ever listened on: a name could resolve to one that another process holds. */
const LISTEN_HOST = '127.0.0.1'

async function listen(
  port: number,
  highWaterMarkBytes: number,
  accept: (client: ClientConnection) => ClientHandler,
): Promise<Listener> {
  try {
    const listener = Bun.listen({
      hostname: LISTEN_HOST,
      port,
      allowHalfOpen: true,
      socket: {
        open(socket) {
          socket.setNoDelay(true)
          socket.data = new BunClientConnection(socket, highWaterMarkBytes)
          socket.data.handler = accept(socket.data)
        },
        data: (socket, bytes) => socket.data.handler?.clientOnData(bytes),
        drain: (socket) => socket.data.onDrain(),
        end: (socket) => socket.data.handler?.clientOnEnd(),
        close: (socket) => socket.data.onClose(),
        // `close` follows and says all that there is to say.
        error: () => {},
      },
    })
    return { port: listener.port, close: async () => listener.stop() }
  } catch (error) {
    throw new UpstreamProxyError('listen-failed', `cannot listen on ${LISTEN_HOST}:${port} (${systemCode(error)})`)
  }
}

class BunClientConnection implements ClientConnection {
  handler: ClientHandler | undefined
  readonly #socket: BunSocket
  readonly #highWaterMarkBytes: number
  /** What the system has not taken, in order. */
  #waiting: Uint8Array[] = []
  #queuedBytes = 0
  #isEnding = false
  #isClosed = false

  constructor(socket: BunSocket, highWaterMarkBytes: number) {
    this.#socket = socket
    this.#highWaterMarkBytes = highWaterMarkBytes
  }

  get queuedBytes(): number {
    return this.#queuedBytes
  }

  write(bytes: Uint8Array): boolean {
    if (this.#isClosed || this.#isEnding) return true
    const taken = this.#waiting.length > 0 ? 0 : Math.max(this.#socket.write(bytes), 0)
    if (taken < bytes.length) {
      this.#waiting.push(bytes.subarray(taken))
      this.#queuedBytes += bytes.length - taken
    }
    return this.#queuedBytes < this.#highWaterMarkBytes
  }

  pauseReading(): void {
    if (!this.#isClosed) this.#socket.pause()
  }

  resumeReading(): void {
    if (!this.#isClosed) this.#socket.resume()
  }

  endWriting(): void {
    if (this.#isClosed || this.#isEnding) return
    this.#isEnding = true
    if (this.#queuedBytes === 0) this.#finish()
  }

  close(): void {
    if (!this.#isClosed) this.#socket.end()
  }

  reset(): void {
    if (!this.#isClosed) this.#socket.terminate()
  }

  onDrain(): void {
    this.#flush()
    if (this.#queuedBytes > 0) return
    if (this.#isEnding) this.#finish()
    else this.handler?.clientOnDrain()
  }

  onClose(): void {
    this.#isClosed = true
    this.#waiting = []
    this.#queuedBytes = 0
    this.handler?.clientOnClose()
  }

  #flush(): void {
    let sent = 0
    for (const bytes of this.#waiting) {
      const taken = Math.max(this.#socket.write(bytes), 0)
      this.#queuedBytes -= taken
      if (taken < bytes.length) {
        this.#waiting[sent] = bytes.subarray(taken)
        break
      }
      sent++
    }
    this.#waiting.splice(0, sent)
  }

  #finish(): void {
    this.#socket.shutdown()
    // Not from within endWriting(): the handler learns of its own call's effects later, as on Node.
    queueMicrotask(() => this.handler?.clientOnFinish())
  }
}

// -- The gateway -----------------------------------------------------------------------------------------------------------

/** Milliseconds that the gateway gets to answer our Close frame. */
const CLOSE_TIMEOUT_MS = 5_000
const DRAIN_POLL_MS = 1

class BunTrust implements Trust {
  readonly trust: BunTlsOptions

  constructor(certificates: string | undefined) {
    // Said here, so that NODE_TLS_REJECT_UNAUTHORIZED has no say.
    this.trust = { rejectUnauthorized: true, ...(certificates === undefined ? {} : { ca: certificates }) }
  }
}

function proxyOptions({ url, authorization }: EgressProxy): BunProxyOptions {
  const headers = authorization === undefined ? {} : { headers: { 'Proxy-Authorization': authorization } }
  return { url: url.href, ...headers }
}

class BunGatewayDialer implements GatewayDialer {
  readonly #endpoint: GatewayEndpoint
  readonly #sockets = new Set<BunGatewaySocket>()
  readonly #waiting = new Set<BunGatewaySocket>()
  #poll: NodeJS.Timeout | undefined
  #onEmpty: (() => void) | undefined

  constructor(endpoint: GatewayEndpoint) {
    this.#endpoint = endpoint
  }

  dial(url: URL, headers: Readonly<Record<string, string>>, handler: GatewayHandler): GatewaySocket {
    const { trust, egress } = this.#endpoint
    const { WebSocket } = globalThis as unknown as {
      WebSocket: new (url: string, options: BunWebSocketOptions) => BunWebSocket
    }
    const webSocket = new WebSocket(url.href, {
      headers,
      // The upload is ciphertext: compression costs memory and gains nothing.
      perMessageDeflate: false,
      tls: (trust as BunTrust).trust,
      ...(egress === undefined ? {} : { proxy: proxyOptions(egress) }),
    })
    const socket = new BunGatewaySocket(webSocket, this.#endpoint, handler, this)
    this.#sockets.add(socket)
    return socket
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.terminate()
    if (this.#sockets.size > 0) await new Promise<void>((resolve) => (this.#onEmpty = resolve))
  }

  forget(socket: BunGatewaySocket): void {
    this.#sockets.delete(socket)
    this.#waiting.delete(socket)
    if (this.#sockets.size === 0) this.#onEmpty?.()
  }

  /** Watches a socket until its queue is short again. */
  awaitDrain(socket: BunGatewaySocket): void {
    this.#waiting.add(socket)
    this.#poll ??= setInterval(() => this.#look(), DRAIN_POLL_MS)
  }

  #look(): void {
    for (const socket of this.#waiting) if (socket.hasDrained()) this.#waiting.delete(socket)
    if (this.#waiting.size > 0) return
    clearInterval(this.#poll)
    this.#poll = undefined
  }
}

class BunGatewaySocket implements GatewaySocket {
  readonly #socket: BunWebSocket
  readonly #endpoint: GatewayEndpoint
  readonly #handler: GatewayHandler
  readonly #dialer: BunGatewayDialer
  #isLetGo = false
  #isPaused = false
  #hasOpened = false
  #dialTimer: NodeJS.Timeout | undefined
  #closeTimer: NodeJS.Timeout | undefined

  constructor(socket: BunWebSocket, endpoint: GatewayEndpoint, handler: GatewayHandler, dialer: BunGatewayDialer) {
    this.#socket = socket
    this.#endpoint = endpoint
    this.#handler = handler
    this.#dialer = dialer
    socket.binaryType = 'nodebuffer'
    const { egress, egressTimeoutMs } = endpoint
    if (egress !== undefined) {
      // Bun does not tell when the proxy has answered, so the whole dial has this long.
      this.#dialTimer = setTimeout(() => this.#fail(egressTimeout(egress, egressTimeoutMs)), egressTimeoutMs)
    }
    socket.addEventListener('open', () => {
      clearTimeout(this.#dialTimer)
      this.#hasOpened = true
      this.#tell(() => handler.gatewayOnOpen())
    })
    socket.addEventListener('message', ({ data }) => this.#onMessage(data))
    socket.addEventListener('pong', () => this.#tell(() => handler.gatewayOnPong()))
    socket.addEventListener('error', ({ message, error }) =>
      this.#fail(this.#explain(message ?? '', systemCode(error))),
    )
    socket.addEventListener('close', ({ code }) => this.#onClose(code))
  }

  get queuedBytes(): number {
    return this.#socket.bufferedAmount
  }

  send(payload: Uint8Array): boolean {
    if (this.#socket.readyState !== OPEN) return true
    const messages = encodeMessages(payload, this.#endpoint.maxSentMessageBytes)
    for (const message of messages) this.#socket.send(message)
    if (this.#socket.bufferedAmount < this.#endpoint.highWaterMarkBytes) return true
    this.#dialer.awaitDrain(this)
    return false
  }

  /** Tells the handler when the queue is short again; true when there is nothing more to wait for. */
  hasDrained(): boolean {
    if (!this.#isLetGo && this.#socket.bufferedAmount > this.#endpoint.lowWaterMarkBytes) return false
    this.#tell(() => this.#handler.gatewayOnDrain())
    return true
  }

  ping(): void {
    if (this.#socket.readyState === OPEN) this.#socket.ping()
  }

  pong(): void {
    if (this.#socket.readyState === OPEN) this.#socket.pong()
  }

  pauseReading(): void {
    this.#isPaused = true
    this.#socket.pause()
  }

  resumeReading(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#socket.resume()
  }

  close(): void {
    if (this.#isLetGo) return
    this.#isLetGo = true
    this.resumeReading()
    if (this.#socket.readyState === CONNECTING) this.#socket.terminate()
    else this.#socket.close(1000)
    this.#closeTimer = setTimeout(() => this.#socket.terminate(), CLOSE_TIMEOUT_MS)
  }

  terminate(): void {
    this.#isLetGo = true
    this.resumeReading()
    this.#socket.terminate()
  }

  #onMessage(data: unknown): void {
    if (this.#isLetGo) return
    if (data instanceof Uint8Array) this.#handler.gatewayOnMessage(data)
    else this.#fail(textReceived())
  }

  #onClose(code: number): void {
    clearTimeout(this.#dialTimer)
    clearTimeout(this.#closeTimer)
    this.#dialer.forget(this)
    this.#tell(() => this.#handler.gatewayOnClose({ code }))
    this.#isLetGo = true
  }

  #explain(text: string, code: string): UpstreamProxyError {
    if (this.#hasOpened) return socketBroke(code || 'error')
    return explainDial(text, code, this.#endpoint.egress)
  }

  /** The first failure is the last word of the socket. */
  #fail(error: UpstreamProxyError): void {
    this.#tell(() => this.#handler.gatewayOnFailure(error))
    this.terminate()
  }

  #tell(event: () => void): void {
    if (!this.#isLetGo) event()
  }
}

/**
 * Why a connection was not made. Bun 1.4 has no field for the status of a refused upgrade or of the proxy's answer: it
 * stands in the text of the error alone, so this is the one place that reads a text.
 */
function explainDial(text: string, code: string, egress: EgressProxy | undefined): UpstreamProxyError {
  const upgradeStatus = /status code: ([0-9]{3})/.exec(text)?.[1]
  if (upgradeStatus !== undefined) return upgradeRefused(Number(upgradeStatus))
  if (egress === undefined) return dialFailed(code)
  const proxyStatus = /^.*[Pp]roxy.*: ([0-9]{3}) /.exec(text)?.[1]
  if (proxyStatus !== undefined) return egressRefused(Number(proxyStatus))
  const error = dialFailed(code)
  return error.code === 'gateway-tls-failed' ? error : egressUnreachable(egress, code || 'its answer is not valid HTTP')
}

// -- The CA download -------------------------------------------------------------------------------------------------------

/** fetch() on Bun follows the environment's proxy variables, so it is only used where a proxy is wanted. */
function downloadOnBun(url: URL, route: GatewayRoute, limits: DownloadLimits): Promise<DownloadedAnswer> {
  const { egress } = route
  const tls = (route.trust as BunTrust).trust
  if (egress !== undefined) return downloadThroughProxy(url, egress, tls, limits)
  // An agent of our own: the global one follows NODE_USE_ENV_PROXY.
  const agent = url.protocol === 'https:' ? new HttpsAgent() : new HttpAgent()
  return download(url, { agent, ...tls }, limits)
}

async function downloadThroughProxy(
  url: URL,
  egress: EgressProxy,
  tls: BunTlsOptions,
  limits: DownloadLimits,
): Promise<DownloadedAnswer> {
  const options = {
    redirect: 'manual',
    tls,
    proxy: proxyOptions(egress),
    signal: AbortSignal.timeout(limits.timeoutMs),
  }
  try {
    const response = await fetch(url, options as RequestInit)
    const body = new Uint8Array(await response.arrayBuffer())
    if (body.length > limits.maxBytes) throw new UpstreamProxyError('ca-invalid', 'the answer is too long')
    return { status: response.status, location: response.headers.get('location') ?? undefined, body }
  } catch (error) {
    if (error instanceof UpstreamProxyError) throw error
    if (error instanceof Error && error.name === 'TimeoutError') throw downloadTimeout(url, limits)
    throw explainDial(error instanceof Error ? error.message : '', systemCode(error), egress)
  }
}
