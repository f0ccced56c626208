// The gateway on Bun: the native WebSocket, because `ws` on Bun is a shim that knows neither when its bytes have left nor a
// time limit.
//
// Rules, each learnt from what Bun does (1.4):
// - The WebSocket has no drain event: `bufferedAmount` is looked at every millisecond while it is too high, and only then.
// - `send()` copies, so all messages are put together in one place.
// - A paused WebSocket is resumed before it is let go, or its descriptor stays open.

import { systemCode, type UpstreamProxyError } from '../errors.js'
import { ChunkDecodeError, decodeChunk, MAX_MESSAGE_BYTES, splitPayload, writeChunkHeader } from '../protocol/chunk.js'
import type { EgressProxy } from '../protocol/egress-proxy.js'
import type { FrameFault } from '../protocol/frame-reader.js'
import {
  dialFailed,
  egressRefused,
  egressTimeout,
  egressUnreachable,
  faultReceived,
  socketBroke,
  upgradeRefused,
} from './failures.js'
import type { GatewayDialer, GatewayEndpoint, GatewayHandler, GatewaySocket, Trust } from './runtime.js'

// What is used of https://bun.sh/docs/api/websockets

export interface BunTlsOptions {
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

/** Milliseconds that the gateway gets to answer our Close frame. */
const CLOSE_TIMEOUT_MS = 5_000
const DRAIN_POLL_MS = 1

export class BunTrust implements Trust {
  readonly trust: BunTlsOptions

  constructor(certificates: string | undefined) {
    // Said here, so that NODE_TLS_REJECT_UNAUTHORIZED has no say.
    this.trust = { rejectUnauthorized: true, ...(certificates === undefined ? {} : { ca: certificates }) }
  }
}

/** An egress proxy as Bun takes it. */
export function proxyOptions({ url, authorization }: EgressProxy): BunProxyOptions {
  const headers = authorization === undefined ? {} : { headers: { 'Proxy-Authorization': authorization } }
  return { url: url.href, ...headers }
}

/** Opens WebSockets on Bun. */
export class BunGatewayDialer implements GatewayDialer {
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

const scratch = new Uint8Array(MAX_MESSAGE_BYTES)

/** One chunk, valid until the next. */
function chunkOf(payload: Uint8Array): Uint8Array {
  const headerLength = writeChunkHeader(scratch, 0, payload.length)
  scratch.set(payload, headerLength)
  return scratch.subarray(0, headerLength + payload.length)
}

class BunGatewaySocket implements GatewaySocket {
  readonly #socket: BunWebSocket
  readonly #endpoint: GatewayEndpoint
  #handler: GatewayHandler
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
      this.#tell(() => this.#handler.gatewayOnOpen())
    })
    socket.addEventListener('message', ({ data }) => this.#onMessage(data))
    socket.addEventListener('pong', () => this.#tell(() => this.#handler.gatewayOnPong()))
    socket.addEventListener('error', ({ message, error }) =>
      this.#fail(this.#explain(message ?? '', systemCode(error))),
    )
    socket.addEventListener('close', ({ code }) => this.#onClose(code))
  }

  get queuedBytes(): number {
    return this.#socket.bufferedAmount
  }

  handTo(handler: GatewayHandler): void {
    this.#handler = handler
  }

  send(payload: Uint8Array): boolean {
    if (this.#socket.readyState !== OPEN) return true
    for (const piece of splitPayload(payload, this.#endpoint.maxSentMessageBytes)) this.#socket.send(chunkOf(piece))
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
    const fault = this.#findFault(data)
    if (fault !== undefined) this.#fail(faultReceived(fault))
  }

  /** Tells the payload of a message, or returns what is wrong with it. */
  #findFault(data: unknown): FrameFault | undefined {
    if (!(data instanceof Uint8Array)) return { closeCode: 1003, detail: 'text' }
    // Bun has a limit of its own, which cannot be set, at 128 MiB.
    if (data.length > this.#endpoint.maxReceivedMessageBytes)
      return { closeCode: 1009, detail: 'a message that is too long' }
    try {
      for (const payload of decodeChunk(data)) this.#tell(() => this.#handler.gatewayOnData(payload))
    } catch (error) {
      if (!(error instanceof ChunkDecodeError)) throw error
      return { closeCode: 1007, detail: `a chunk that does not parse: ${error.message}` }
    }
    return undefined
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
export function explainDial(text: string, code: string, egress: EgressProxy | undefined): UpstreamProxyError {
  // The connection ended before the handshake did; what fails in the handshake itself has a code.
  if (code === '' && text.endsWith('TLS handshake failed')) return explainDial('', 'ECONNRESET', egress)
  const upgradeStatus = /status code: ([0-9]{3})/.exec(text)?.[1]
  if (upgradeStatus !== undefined) return upgradeRefused(Number(upgradeStatus))
  if (egress === undefined) return dialFailed(code)
  const proxyStatus = /^.*[Pp]roxy.*: ([0-9]{3}) /.exec(text)?.[1]
  if (proxyStatus !== undefined) return egressRefused(Number(proxyStatus))
  const error = dialFailed(code)
  return error.code === 'gateway-tls-failed' ? error : egressUnreachable(egress, code || 'its answer is not valid HTTP')
}
