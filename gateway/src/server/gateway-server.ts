// A running gateway: it hands each WebSocket that the front let in to a tunnel, takes another config, and ends.

import type { WebSocket } from 'ws'
import type { AuditRecord } from '../audit/audit-record.js'
import type { AuditSink } from '../audit/audit-sink.js'
import { Metrics } from '../audit/metrics.js'
import type { GatewayConfig } from '../config/config.js'
import { Guard } from '../guard.js'
import { DEFAULT_INTERCEPT_LIMITS } from '../intercept/intercept.js'
import type { Session } from '../sessions/session.js'
import type { SessionUsages } from '../sessions/session-usage.js'
import { ActiveConfig, type ActiveConfigOptions } from './active-config.js'
import { AdminServer } from './admin-server.js'
import { ChunkStream } from './chunk-stream.js'
import { describeDefect } from './describe-defect.js'
import { FrontServer } from './front-server.js'
import type { Gateway, GatewayOptions } from './gateway.js'
import { DEFAULT_PENDING_LIMITS } from './pending-connections.js'
import { GatewayStartError, startStep } from './start-error.js'
import { Tunnel, type TunnelContext } from './tunnel.js'

/** What of `options` an ActiveConfig takes. */
export function activeConfigOptions(options: GatewayOptions, usages: SessionUsages): ActiveConfigOptions {
  const { lookup, dialTimeoutMs = 15_000 } = options
  return { lookup, dialTimeoutMs, usages, report: warnerOf(options) }
}

export class GatewayServer implements Gateway {
  readonly #options: GatewayOptions
  readonly #usages: SessionUsages
  readonly #audit: AuditSink
  readonly #metrics: Metrics
  readonly #admin: AdminServer
  readonly #front: FrontServer
  readonly #tunnelContext: TunnelContext
  readonly #warn: (message: string) => void
  readonly #tunnels = new Set<Tunnel>()
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
    this.#metrics = new Metrics({
      openTunnels: () => this.#openTunnels().length,
      waitingWebSockets: () => this.#tunnels.size - this.#openTunnels().length,
      lostAuditLines: () => audit.lost,
    })
    const reportDefect = (thrown: unknown) => this.#warn(describeDefect(thrown))
    this.#admin = new AdminServer({
      metrics: this.#metrics,
      isReady: () => this.#closing === undefined,
      reportDefect,
    })
    this.#tunnelContext = {
      active: () => this.#active,
      audit: (record) => this.#record(record),
      warn: this.#warn,
      connectHeadTimeoutMs: options.connectHeadTimeoutMs ?? 10_000,
      connectWaitMs: options.connectWaitMs ?? 600_000,
      responseHeadTimeoutMs: options.responseHeadTimeoutMs ?? 120_000,
      interceptLimits: options.interceptLimits ?? DEFAULT_INTERCEPT_LIMITS,
    }
    const maxTunnels = options.maxTunnels ?? 10_000
    this.#front = new FrontServer(active, {
      active: () => this.#active,
      isFull: () => this.#tunnels.size >= maxTunnels || this.#closing !== undefined,
      onWebSocket: (webSocket, session) => this.#serve(webSocket, session),
      onRefusedUpgrade: (code) => this.#metrics.observeRefusedUpgrade(code),
      reportDefect,
      pendingLimits: options.pendingLimits ?? DEFAULT_PENDING_LIMITS,
    })
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
    return this.#config.ca.certificatePem
  }

  get #config(): GatewayConfig {
    return this.#active.config
  }

  async listen(): Promise<void> {
    const { listen, admin } = this.#config
    const onFailure = (error: Error) => this.#warn(`the listener failed: ${error.message}`)
    this.#port = await startStep(this.#config, ['listen'], () => this.#front.listen(listen, onFailure))
    if (admin === undefined) return
    this.#adminPort = await startStep(this.#config, ['admin', 'listen'], () => {
      return this.#admin.listen(admin.listen, onFailure)
    })
  }

  #serve(webSocket: WebSocket, session: Session): void {
    const tunnel = new Tunnel(new ChunkStream(webSocket), session, this.#tunnelContext)
    this.#tunnels.add(tunnel)
    void tunnel.done.then(() => this.#tunnels.delete(tunnel))
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
    const options = activeConfigOptions(this.#options, this.#usages)
    const next = await ActiveConfig.start(config, options, this.#active)
    if (this.#closing !== undefined) {
      next.stop()
      return
    }
    // From here on nothing can fail.
    this.#active.replace()
    this.#active = next
    this.#front.setCertificate(config)
    for (const tunnel of this.#tunnels) if (!next.sessions.admits(tunnel.session)) tunnel.endSession()
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
    const stopped = this.#front.close()
    if (graceMs > 0) await this.#tunnelsEnd(graceMs)
    this.#front.cut()
    await Promise.all([stopped, ...this.#tunnelEnds()])
    this.#active.stop()
    // Last, so that probes and metrics are there until the end.
    if (this.#adminPort !== undefined) await this.#admin.close()
    await this.#audit.close()
  }

  /** Those on which a CONNECT has come. */
  #openTunnels(): Tunnel[] {
    return Array.from(this.#tunnels).filter(({ isWaiting }) => !isWaiting)
  }

  #tunnelEnds(): Promise<void>[] {
    return Array.from(this.#tunnels, ({ done }) => done)
  }

  /** Waits until the last tunnel has ended, `graceMs` at most. */
  #tunnelsEnd(graceMs: number): Promise<void> {
    for (const tunnel of this.#tunnels) tunnel.hurry()
    return new Promise((resolve) => {
      const guard = new Guard(() => resolve())
      const stopWaiting = guard.startDeadline(graceMs, resolve)
      guard.onAbort(this.#graceIsOver.signal, resolve)
      guard.watch(
        Promise.all(this.#tunnelEnds())
          .then(() => resolve())
          .finally(stopWaiting),
      )
    })
  }

  #record(record: AuditRecord): void {
    this.#metrics.observe(record)
    this.#audit.write(record)
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

/** Whatever the program's own function throws is not passed on: warnings come from everywhere. */
export function warnerOf({ warn }: GatewayOptions): (message: string) => void {
  return new Guard(() => {}).wrap(warn ?? ((message: string) => process.emitWarning(message)))
}
