// The relay: a CONNECT proxy on 127.0.0.1 that carries each tunnel over a WebSocket of its own to the gateway. It has no
// part in the guard, the token file and the CA; src/init.ts puts those around it.
//
// It never dials the target of a CONNECT itself, for everything that listens on this machine's loopback would be in reach.

import { asUpstreamProxyError, UpstreamProxyError } from '../errors.js'
import { createLogger, type Logger } from '../log.js'
import { nodeRuntime } from '../runtime/node.js'
import type { GatewayHandler, GatewaySocket, Listener, Runtime } from '../runtime/runtime.js'
import { Credential, type TokenSource, tokenFromText } from './credential.js'
import { RelayMonitor, type RelayStatistics } from './events.js'
import { type RelayLimits, resolveLimits } from './limits.js'
import { Tunnel, type TunnelContext } from './tunnel.js'

/** What startRelay() takes. */
export interface RelayOptions {
  /** Where the WebSockets go: `wss://host/path`, or `ws://` on loopback only. */
  readonly tunnelUrl: string | URL
  /** The session token, as text or as something that lends it out. */
  readonly token: string | TokenSource
  /** User name of the tunnel's Basic credential. `session` unless given. */
  readonly sessionId?: string
  /** PEM certificates that may sign the gateway's own certificate. The runtime's roots unless given. */
  readonly trustedCertificates?: string
  /** Port on 127.0.0.1. 0, the default, leaves the choice to the system. */
  readonly port?: number
  /** Milliseconds that open tunnels get when the relay is closed. 5,000 unless given. */
  readonly closeGraceMs?: number
  readonly limits?: Partial<RelayLimits>
  readonly logger?: Logger
}

/** A relay that is listening. */
export interface Relay {
  /** Port on 127.0.0.1. */
  readonly port: number
  /** `http://127.0.0.1:<port>`, for HTTPS_PROXY. */
  readonly proxyUrl: string
  stats(): RelayStatistics
  /** Stops accepting, gives open tunnels the grace period, resets what is left. The same promise every time. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Starts a relay.
 * @throws {UpstreamProxyError} `config-invalid` or `listen-failed`
 */
export async function startRelay(options: RelayOptions): Promise<Relay> {
  const relay = new RunningRelay(options, nodeRuntime)
  await relay.listen(options.port ?? 0)
  return relay
}

/** `ws:` only to this machine: the token must not travel in clear. */
export function assertTunnelUrl(url: URL): void {
  if (url.protocol === 'wss:' || (url.protocol === 'ws:' && isLoopback(url.hostname))) return
  throw new UpstreamProxyError('config-invalid', 'the gateway is neither https:// nor http:// on loopback')
}

/** Whether a URL's host name means this machine (RFC 6761, section 6.3; RFC 1122, section 3.2.1.3). */
export function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.[0-9]{1,3}){3}$/.test(hostname)
}

class RunningRelay implements Relay {
  readonly #runtime: Runtime
  readonly #limits: RelayLimits
  readonly #logger: Logger
  readonly #monitor = new RelayMonitor()
  readonly #tunnels = new Set<Tunnel>()
  readonly #context: TunnelContext
  readonly #closeGraceMs: number
  #listener: Listener | undefined
  #sweeper: NodeJS.Timeout | undefined
  #closing: Promise<void> | undefined
  #onEmpty: (() => void) | undefined

  constructor(options: RelayOptions, runtime: Runtime) {
    this.#runtime = runtime
    this.#limits = resolveLimits(options.limits)
    this.#logger = options.logger ?? createLogger('warn')
    this.#closeGraceMs = options.closeGraceMs ?? 5_000
    const { token } = options
    const credential = new Credential(
      typeof token === 'string' ? tokenFromText(token) : token,
      options.sessionId ?? 'session',
    )
    const url = parseTunnelUrl(options.tunnelUrl)
    const dialer = runtime.createGatewayDialer({ ...this.#limits, trustedCertificates: options.trustedCertificates })
    this.#context = {
      limits: this.#limits,
      monitor: this.#monitor,
      credential,
      dial: (handler: GatewayHandler): GatewaySocket => dialer.dial(url, credential.upgradeHeaders(), handler),
      now: () => performance.now(),
      onClosed: (tunnel) => this.#forget(tunnel),
    }
  }

  async listen(port: number): Promise<void> {
    this.#listener = await this.#runtime.listen(port, this.#limits.highWaterMarkBytes, (client) => {
      const tunnel = new Tunnel(this.#context, client)
      this.#tunnels.add(tunnel)
      this.#sweeper ??= setInterval(() => this.#sweep(), this.#sweepIntervalMs())
      return tunnel
    })
    this.#monitor.state('listening', this.port)
    this.#logger.debug(`the relay listens on 127.0.0.1:${this.port}`)
  }

  get port(): number {
    return this.#listener?.port ?? 0
  }

  get proxyUrl(): string {
    return `http://127.0.0.1:${this.port}`
  }

  stats(): RelayStatistics {
    return this.#monitor.statistics()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    this.#monitor.state('closing', this.port)
    const listenerClosed = this.#listener?.close()
    const timer = setTimeout(() => this.#abortAll(), this.#closeGraceMs)
    await this.#emptied()
    clearTimeout(timer)
    clearInterval(this.#sweeper)
    await listenerClosed
    this.#monitor.state('closed', this.port)
  }

  #emptied(): Promise<void> {
    return new Promise((resolve) => {
      this.#onEmpty = resolve
      if (this.#tunnels.size === 0) resolve()
    })
  }

  /** Twice, for the first only turns tunnels without an answer into ones that end with a refusal. */
  #abortAll(): void {
    const error = new UpstreamProxyError('shutting-down', 'the proxy is being closed')
    for (const tunnel of [...this.#tunnels]) tunnel.abort(error)
    setTimeout(() => {
      for (const tunnel of [...this.#tunnels]) tunnel.abort(error)
    }, 100)
  }

  #forget(tunnel: Tunnel): void {
    this.#tunnels.delete(tunnel)
    if (this.#tunnels.size > 0) return
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
    this.#onEmpty?.()
  }

  /** Often enough for the shortest limit, seldom enough to cost nothing. */
  #sweepIntervalMs(): number {
    const { headTimeoutMs, dialTimeoutMs, answerTimeoutMs, lingerMs, closeLingerMs, idleTimeoutMs } = this.#limits
    const shortest = Math.min(
      headTimeoutMs,
      dialTimeoutMs,
      answerTimeoutMs,
      lingerMs,
      closeLingerMs,
      idleTimeoutMs || 1e9,
    )
    return Math.min(Math.max(shortest / 4, 20), 1_000)
  }

  #sweep(): void {
    const now = this.#context.now()
    for (const tunnel of this.#tunnels) tunnel.sweep(now)
  }
}

function parseTunnelUrl(given: string | URL): URL {
  let url: URL
  try {
    url = new URL(given)
  } catch (error) {
    throw asUpstreamProxyError(error, 'config-invalid', 'the gateway address is not a URL')
  }
  assertTunnelUrl(url)
  return url
}
