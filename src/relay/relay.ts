// The relay: a CONNECT proxy on 127.0.0.1 that carries each tunnel over a WebSocket of its own to the gateway. It has no
// part in the guard, the token file and the CA; src/init.ts puts those around it, and src/thread/ says where it runs.
//
// It never dials the target of a CONNECT itself, for everything that listens on this machine's loopback would be in reach;
// but for targets that the clients' own NO_PROXY names, which clients reach without it too (bypass-carrier.ts).

import { startDeadline } from '../deadline.js'
import { asUpstreamProxyError, UpstreamProxyError } from '../errors.js'
import { LimitClock } from '../limit-clock.js'
import { createLogger, type Logger } from '../log.js'
import type { Authority } from '../protocol/authority.js'
import { type EgressProxy, exceptOwnAddress, parseEgressProxy } from '../protocol/egress-proxy.js'
import { isGatewayUrl } from '../protocol/gateway-url.js'
import type {
  Connection,
  GatewayDialer,
  GatewayEndpoint,
  GatewayHandler,
  GatewaySocket,
  Listener,
  Runtime,
  Trust,
} from '../runtime/runtime.js'
import { listenForStatus, type StatusListener } from '../runtime/status-socket.js'
import { Admission } from './admission.js'
import { Bypass, type BypassOptions } from './bypass-carrier.js'
import type { TunnelRoute } from './channels.js'
import { Credential, type TokenSource, tokenFromText } from './credential.js'
import { GatewayBackoff } from './gateway-backoff.js'
import { GatewayCarrier, type GatewayWay } from './gateway-carrier.js'
import { DEFAULT_CLOSE_GRACE_MS, type RelayLimits, resolveLimits } from './limits.js'
import { RelayMonitor, type RelayStatistics } from './monitor.js'
import { createStatus, type RelayStatus } from './status.js'
import { tryToken } from './token-trial.js'
import { Tunnel, type TunnelContext } from './tunnel.js'
import { TunnelLog } from './tunnel-log.js'
import { Uplink } from './uplink.js'
import { WarmPool } from './warm-pool.js'

/** Between looks at what still keeps a relay from being closed. */
const CLOSING_SWEEP_MS = 100

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
  /** `[http[s]://][user:password@]host[:port]` of the proxy on the way to the gateway. None unless given: the environment is not looked at. */
  readonly egress?: string | EgressProxy
  /** Targets that go past the gateway. None unless given. */
  readonly bypass?: BypassOptions
  /** Port on 127.0.0.1. 0, the default, leaves the choice to the system. */
  readonly port?: number
  /** Milliseconds that open tunnels get when the relay is closed. 5,000 unless given. */
  readonly closeGraceMs?: number
  /** Limits that are not to be the defaults. */
  readonly limits?: Partial<RelayLimits>
  /**
   * File that gets one JSON line for each tunnel at its end (schema/tunnel-log.schema.json). None unless given. With it the
   * gateway is told the ids, so that its log can be joined.
   */
  readonly tunnelLog?: string
  /**
   * Unix socket that says how the relay is (RelayStatus as JSON), in a folder that only its user may enter. None unless given.
   */
  readonly statusSocket?: string
  /** Where warnings and errors go. createLogger('warn') unless given. */
  readonly logger?: Logger
}

/** A relay that is listening. */
export interface Relay {
  /** Port on 127.0.0.1. */
  readonly port: number
  /** `http://127.0.0.1:<port>`, for HTTPS_PROXY. */
  readonly proxyUrl: string
  /** Counters since the start, as of now. */
  stats(): RelayStatistics
  /**
   * Stops accepting, gives open tunnels the grace period, resets what is left; resolves when nothing is left.
   * @param graceMs milliseconds; the option of startRelay() unless given. Only the first call decides.
   */
  close(graceMs?: number): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** A relay of this thread, for what has its token. */
export interface LocalRelay extends Relay {
  /** For its status. */
  isGatewaySilent: boolean
  /** Whether the gateway takes another token: undefined when it does, else why not. */
  tryToken(token: TokenSource, ended: AbortSignal): Promise<UpstreamProxyError | undefined>
}

/**
 * Starts a relay in this thread.
 * @throws {UpstreamProxyError} `config-invalid` or `listen-failed`
 */
export async function startRelayOn(runtime: Runtime, trust: Trust, options: RelayOptions): Promise<LocalRelay> {
  const relay = new RunningRelay(runtime, trust, options)
  await relay.listen(options.port ?? 0)
  if (options.statusSocket !== undefined) await relay.tellStatus(options.statusSocket)
  return relay
}

class RunningRelay implements LocalRelay {
  isGatewaySilent = false
  readonly #runtime: Runtime
  readonly #limits: RelayLimits
  readonly #clock: LimitClock
  readonly #logger: Logger
  readonly #log: TunnelLog | undefined
  readonly #monitor: RelayMonitor
  readonly #tunnels = new Set<Tunnel>()
  readonly #admission: Admission
  readonly #endpoint: GatewayEndpoint
  readonly #tunnelUrl: URL
  readonly #sessionId: string
  readonly #bypass: Bypass | undefined
  readonly #backoff = new GatewayBackoff(now)
  readonly #warmPool: WarmPool
  readonly #context: TunnelContext
  readonly #closeGraceMs: number
  #listener: Listener | undefined
  #listensSince = 0
  #statusListener: StatusListener | undefined
  #dialer: GatewayDialer | undefined
  #sweeper: NodeJS.Timeout | undefined
  #closing: Promise<void> | undefined
  #lastAbort: NodeJS.Timeout | undefined
  #onEmpty: (() => void) | undefined

  constructor(runtime: Runtime, trust: Trust, options: RelayOptions) {
    this.#runtime = runtime
    this.#limits = resolveLimits(options.limits)
    this.#clock = new LimitClock(this.#sweepIntervalMs())
    this.#logger = options.logger ?? createLogger('warn')
    this.#closeGraceMs = options.closeGraceMs ?? DEFAULT_CLOSE_GRACE_MS
    const { token } = options
    this.#sessionId = options.sessionId ?? 'session'
    const credential = new Credential(typeof token === 'string' ? tokenFromText(token) : token, this.#sessionId)
    this.#endpoint = { ...this.#limits, trust, egress: resolveEgressOption(options.egress) }
    this.#bypass = this.#createBypass(trust, options.bypass)
    this.#tunnelUrl = parseTunnelUrl(options.tunnelUrl)
    const tokenGeneration = () => credential.generation()
    const [limits, clock] = [this.#limits, this.#clock]
    const dial = this.#dialWith(credential)
    const uplink = new Uplink(limits, clock)
    this.#warmPool = new WarmPool({ limits, dial, uplink, backoff: this.#backoff, now, clock, tokenGeneration })
    const way: GatewayWay = {
      limits,
      credential,
      dial,
      uplink,
      backoff: this.#backoff,
      warmPool: this.#warmPool,
      clock,
    }
    this.#log = options.tunnelLog === undefined ? undefined : TunnelLog.open(options.tunnelLog, this.#logger)
    this.#monitor = new RelayMonitor(this.#log)
    this.#admission = new Admission(limits.maxTunnels)
    this.#context = {
      limits,
      refusal: () => this.#admission.refusal(this.#tunnels),
      monitor: this.#monitor,
      logger: this.#logger,
      routeTo: (authority) => this.#routeTo(authority),
      open: (route, authority, requestId, handler) =>
        route === 'bypass' && this.#bypass !== undefined
          ? this.#bypass.open(authority, handler)
          : new GatewayCarrier(way, authority, requestId, handler),
      now,
      clock,
      onClosed: (tunnel) => this.#forget(tunnel),
    }
  }

  async listen(port: number): Promise<void> {
    try {
      this.#listener = await this.#runtime.listen(port, this.#limits.highWaterMarkBytes, this.#accept)
    } catch (error) {
      this.#admission.close()
      await this.#log?.close()
      throw error
    }
    this.#listensSince = now()
    // Cheaper than a timer for each tunnel. The listener keeps the process alive, and this need not.
    this.#sweeper = setInterval(() => this.#sweep(), this.#sweepIntervalMs()).unref()
    try {
      this.#warmPool.sweep()
      this.#monitor.state('listening', this.port)
      this.#logger.debug(`the relay listens on 127.0.0.1:${this.port}`)
    } catch (error) {
      // Of the caller's own code, as the logger is. Nobody has the relay who could close it.
      await this.close(0)
      throw asUpstreamProxyError(error, 'internal-error', 'the relay did not start')
    }
  }

  readonly #accept = (client: Connection): void => {
    const tunnel = new Tunnel(this.#context, client)
    this.#tunnels.add(tunnel)
    client.start(tunnel)
    this.#admission.admit(tunnel, this.#tunnels)
  }

  /** A relay that cannot say how it is carries tunnels all the same. */
  async tellStatus(path: string): Promise<void> {
    try {
      this.#statusListener = await listenForStatus(path, () => `${JSON.stringify(this.#status())}\n`)
    } catch (error) {
      this.#logger.warn(asUpstreamProxyError(error, 'status-unavailable', 'the status socket'))
    }
  }

  #status(): RelayStatus {
    const state = this.#closing === undefined ? 'listening' : 'closing'
    const uptimeMs = now() - this.#listensSince
    const tunnels = Array.from(this.#tunnels, (tunnel) => tunnel.facts())
    const { port, isGatewaySilent } = this
    return createStatus({ state, port, uptimeMs, isGatewaySilent, statistics: this.stats() }, tunnels)
  }

  #createBypass(trust: Trust, options: BypassOptions | undefined): Bypass | undefined {
    if (options === undefined) return undefined
    const egress = resolveEgressOption(options.egress)
    return new Bypass(this.#runtime, trust, this.#limits, { ...options, egress }, () => this.port)
  }

  #routeTo(authority: Authority): TunnelRoute {
    return this.#bypass?.takes(authority) === true ? 'bypass' : 'gateway'
  }

  /** The dialer is made for the first tunnel: only then is it known which address is the relay's own. */
  #dialWith(credential: Credential): (handler: GatewayHandler) => GatewaySocket {
    return (handler) => {
      this.#backoff.assertOver()
      this.#dialer ??= this.#runtime.createGatewayDialer({
        ...this.#endpoint,
        egress: exceptOwnAddress(this.#endpoint.egress, this.port),
      })
      return this.#dialer.dial(this.#tunnelUrl, credential.upgradeHeaders(), handler)
    }
  }

  tryToken(token: TokenSource, ended: AbortSignal): Promise<UpstreamProxyError | undefined> {
    const credential = new Credential(token, this.#sessionId)
    return tryToken({ credential, dial: this.#dialWith(credential), limits: this.#limits, ended })
  }

  get port(): number {
    return this.#listener?.port ?? 0
  }

  get proxyUrl(): string {
    return `http://127.0.0.1:${this.port}`
  }

  stats(): RelayStatistics {
    return { ...this.#monitor.statistics(), warm: this.#warmPool.statistics() }
  }

  close(graceMs = this.#closeGraceMs): Promise<void> {
    this.#closing ??= this.#close(graceMs)
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(graceMs: number): Promise<void> {
    this.#monitor.state('closing', this.port)
    const listenerClosed = this.#listener?.close()
    this.#warmPool.close()
    clearInterval(this.#sweeper)
    this.#sweeper = setInterval(() => this.#sweep(), CLOSING_SWEEP_MS)
    const grace = startDeadline(graceMs, () => this.#abortAll())
    await this.#emptied()
    grace.clear()
    clearTimeout(this.#lastAbort)
    clearInterval(this.#sweeper)
    this.#admission.close()
    await this.#statusListener?.close()
    await Promise.all([listenerClosed, this.#dialer?.close(), this.#bypass?.close(), this.#log?.close()])
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
    this.#lastAbort = setTimeout(() => {
      for (const tunnel of [...this.#tunnels]) tunnel.abort(error)
    }, 100)
  }

  #forget(tunnel: Tunnel): void {
    this.#tunnels.delete(tunnel)
    if (this.#tunnels.size === 0) this.#onEmpty?.()
  }

  /** Often enough for the shortest limit, seldom enough to cost nothing. */
  #sweepIntervalMs(): number {
    const times = Object.entries(this.#limits).filter(([name, value]) => name.endsWith('Ms') && value > 0)
    const shortest = Math.min(...times.map(([, value]) => value))
    return Math.min(Math.max(shortest / 4, 20), 1_000)
  }

  #sweep(): void {
    this.#clock.wind()
    this.#admission.sweep()
    for (const tunnel of this.#tunnels) tunnel.sweep()
    this.#warmPool.sweep()
  }
}

/** Monotonic milliseconds. */
function now(): number {
  return performance.now()
}

/**
 * The egress proxy that an option names.
 * @throws {UpstreamProxyError} `config-invalid`
 */
export function resolveEgressOption(given: string | EgressProxy | undefined): EgressProxy | undefined {
  if (typeof given !== 'string') return given
  const egress = parseEgressProxy(given)
  if (egress !== undefined) return egress
  throw new UpstreamProxyError('config-invalid', 'egress is neither http://host:port nor https://host:port')
}

/** `ws:` only to this machine: the token must not travel in clear. */
function parseTunnelUrl(given: string | URL): URL {
  const url = URL.canParse(`${given}`) ? new URL(given) : undefined
  if (url === undefined || !/^wss?:$/.test(url.protocol) || !isGatewayUrl(url))
    throw new UpstreamProxyError('config-invalid', 'the tunnel address is neither wss:// nor ws:// on loopback')
  // RFC 6455, section 3.
  if (url.hash !== '') throw new UpstreamProxyError('config-invalid', 'the tunnel address has a fragment')
  return url
}
