// A tunnel's way past the gateway: a plain connection to a target that the exported NO_PROXY names. Many tools do not
// understand all of that list (networks above all) and send such targets here; the relay takes the way that they would have
// taken without it: directly, or through the container's own egress proxy. No other target is ever dialled from here, and
// nothing of the session goes this way.

import { type Deadline, startDeadline } from '../deadline.js'
import { asUpstreamProxyError, UpstreamProxyError } from '../errors.js'
import type { Authority } from '../protocol/authority.js'
import { type EgressProxy, exceptOwnAddress } from '../protocol/egress-proxy.js'
import { isInNoProxy, isReachedDirectly } from '../protocol/no-proxy.js'
import type { Connection, ConnectionHandler, Route, Runtime, Trust } from '../runtime/runtime.js'
import type { Carrier, CarrierHandler } from './carrier.js'
import { guardEvents } from './guard-events.js'
import type { RelayLimits } from './limits.js'

/** Which targets go past the gateway, and how. */
export interface BypassOptions {
  /** The NO_PROXY list that the clients have. */
  readonly noProxy: string
  /** The container's own egress proxy, `[http[s]://][user:password@]host[:port]`; none: targets are reached directly. */
  readonly egress?: string | EgressProxy
  /** The container's own NO_PROXY list: what it names is reached without `egress`. */
  readonly egressNoProxy?: string
}

const ESTABLISHED = Buffer.from('HTTP/1.1 200 Connection established\r\n\r\n')

/** Knows which targets go past the gateway, and opens the way to them. */
export class Bypass {
  readonly #runtime: Runtime
  readonly #trust: Trust
  readonly #limits: RelayLimits
  readonly #noProxy: string
  readonly #egress: EgressProxy | undefined
  readonly #egressNoProxy: string
  readonly #ownPort: () => number
  readonly #carriers = new Set<BypassCarrier>()
  #onEmpty: (() => void) | undefined

  constructor(
    runtime: Runtime,
    trust: Trust,
    limits: RelayLimits,
    options: Omit<BypassOptions, 'egress'> & { readonly egress: EgressProxy | undefined },
    ownPort: () => number,
  ) {
    this.#runtime = runtime
    this.#trust = trust
    this.#limits = limits
    this.#noProxy = options.noProxy
    this.#egress = options.egress
    this.#egressNoProxy = options.egressNoProxy ?? ''
    this.#ownPort = ownPort
  }

  /**
   * Whether a target goes past the gateway.
   * @throws {UpstreamProxyError} `proxy-loop` for the relay itself: a tunnel to it would only lead into the next
   */
  takes(authority: Authority): boolean {
    if (!isInNoProxy(this.#noProxy, authority.host, authority.port)) return false
    if (!isThisPort(authority, this.#ownPort())) return true
    throw new UpstreamProxyError('proxy-loop', 'the relay is not a target of its own')
  }

  /** Dials at once. */
  open(authority: Authority, handler: CarrierHandler): Carrier {
    const route: Route = {
      trust: this.#trust,
      egress: this.#egressTo(authority),
      egressTimeoutMs: this.#limits.egressTimeoutMs,
    }
    const connect = (signal: AbortSignal): Promise<Connection> =>
      this.#runtime.connect(authority, route, this.#limits.highWaterMarkBytes, signal)
    const carrier = new BypassCarrier(connect, this.#limits, handler, () => this.#forget(carrier))
    this.#carriers.add(carrier)
    return carrier
  }

  /** Drops what is still being closed; resolves when no connection is left. */
  async close(): Promise<void> {
    for (const carrier of this.#carriers) carrier.terminate()
    if (this.#carriers.size > 0) await new Promise<void>((resolve) => (this.#onEmpty = resolve))
  }

  #forget(carrier: BypassCarrier): void {
    this.#carriers.delete(carrier)
    if (this.#carriers.size === 0) this.#onEmpty?.()
  }

  #egressTo({ host, port }: Authority): EgressProxy | undefined {
    if (isReachedDirectly(this.#egressNoProxy, host, port)) return undefined
    return exceptOwnAddress(this.#egress, this.#ownPort())
  }
}

class BypassCarrier implements Carrier, ConnectionHandler {
  readonly isWarm = false
  readonly isDoubtful = false
  readonly #handler: CarrierHandler
  readonly #closeLingerMs: number
  readonly #onGone: () => void
  readonly #abandoned = new AbortController()
  #connection: Connection | undefined
  #closeDeadline: Deadline | undefined
  #hasEnded = false
  #hasFinished = false
  #isLetGo = false

  static {
    const events = [
      'connectionOnData',
      'connectionOnEnd',
      'connectionOnDrain',
      'connectionOnFinish',
      'connectionOnClose',
    ] as const
    guardEvents(BypassCarrier.prototype, events, (self, thrown) => self.#handler.carrierOnDefect(thrown))
  }

  constructor(
    connect: (signal: AbortSignal) => Promise<Connection>,
    { closeLingerMs }: RelayLimits,
    handler: CarrierHandler,
    onGone: () => void,
  ) {
    this.#handler = handler
    this.#closeLingerMs = closeLingerMs
    this.#onGone = onGone
    connect(this.#abandoned.signal).then(
      (connection) => this.#onConnected(connection),
      (error: unknown) => this.#onFailed(asUpstreamProxyError(error, 'target-unreachable', 'no connection')),
    )
  }

  get queuedBytes(): number {
    return this.#connection?.queuedBytes ?? 0
  }

  begin(held: readonly Uint8Array[]): boolean {
    // Behind the tunnel's own change of state.
    queueMicrotask(() => this.#tell(() => this.#handler.carrierOnAnswer(true, ESTABLISHED)))
    return held.map((bytes) => this.send(bytes)).every(Boolean)
  }

  send(bytes: Uint8Array): boolean {
    // The connection keeps what the system does not take, and the bytes are only lent.
    return this.#connection?.write(new Uint8Array(bytes)) ?? true
  }

  endSending(): void {
    this.#connection?.endWriting()
  }

  pauseReading(): void {
    this.#connection?.pauseReading()
  }

  resumeReading(): void {
    this.#connection?.resumeReading()
  }

  /** TCP has an answer of its own to peers that are gone. */
  keepAlive(): void {}

  close(): void {
    if (this.#isLetGo) return
    this.#isLetGo = true
    if (this.#connection === undefined) {
      this.#abandoned.abort()
      return
    }
    this.#connection.resumeReading()
    this.#connection.endWriting()
    this.#closeDeadline = startDeadline(this.#closeLingerMs, () => this.#connection?.reset())
    this.#closeWhenDone()
  }

  terminate(): void {
    this.#isLetGo = true
    if (this.#connection === undefined) this.#abandoned.abort()
    else this.#connection.reset()
  }

  #onConnected(connection: Connection): void {
    this.#connection = connection
    connection.start(this)
    if (this.#isLetGo) connection.reset()
    else this.#tell(() => this.#handler.carrierOnConnected())
  }

  #onFailed(error: UpstreamProxyError): void {
    this.#tell(() => this.#handler.carrierOnFailure(error))
    this.#onGone()
  }

  // -- What the connection tells -------------------------------------------------------------------------------------------

  connectionOnData(bytes: Uint8Array): void {
    if (!this.#isLetGo) this.#handler.carrierOnData(new Uint8Array(bytes))
  }

  connectionOnEnd(): void {
    this.#hasEnded = true
    this.#tell(() => this.#handler.carrierOnRemoteEnd())
    this.#closeWhenDone()
  }

  connectionOnDrain(): void {
    this.#tell(() => this.#handler.carrierOnDrain())
  }

  connectionOnFinish(): void {
    this.#hasFinished = true
    this.#closeWhenDone()
  }

  connectionOnClose(): void {
    this.#closeDeadline?.clear()
    const lost = new UpstreamProxyError('target-unreachable', 'the connection to the target broke', { side: 'remote' })
    this.#tell(() => this.#handler.carrierOnFailure(lost))
    this.#onGone()
  }

  #closeWhenDone(): void {
    if (this.#isLetGo && this.#hasEnded && this.#hasFinished) this.#connection?.close()
  }

  #tell(event: () => void): void {
    if (!this.#isLetGo) event()
  }
}

/** What leads to 127.0.0.1 on Linux: its own forms, and the unspecified addresses (RFC 4291, section 2.5). */
const OWN_ADDRESSES = 'localhost,127.0.0.1,0.0.0.0,::,::ffff:127.0.0.1,::ffff:0.0.0.0'

function isThisPort({ host, port }: Authority, ownPort: number): boolean {
  return port === ownPort && isInNoProxy(OWN_ADDRESSES, host, port)
}
