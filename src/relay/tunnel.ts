// One tunnel: what it does when its state changes, and the bytes that pass through it. The states and their order stand in
// protocol/tunnel-state.ts; the client is behind an interface of runtime/runtime.ts, the way to the target behind carrier.ts.
//
// Back-pressure is one flag a direction: a write that returns false pauses the other side's reading, the drain resumes it.
// Time is told to a tunnel by sweep(), so that it needs no timer of its own.

import { asUpstreamProxyError, UpstreamProxyError } from '../errors.js'
import type { LimitTime } from '../limit-clock.js'
import type { Logger } from '../log.js'
import type { Authority } from '../protocol/authority.js'
import { ConnectHeadParser } from '../protocol/connect-head.js'
import { nextTunnelState, type TunnelEvent, type TunnelState } from '../protocol/tunnel-state.js'
import type { Connection, ConnectionHandler } from '../runtime/runtime.js'
import type { Carrier, CarrierHandler } from './carrier.js'
import type { TunnelFacts, TunnelRoute } from './channels.js'
import { guardEvents } from './guard-events.js'
import { HeldBytes } from './held-bytes.js'
import type { RelayLimits } from './limits.js'
import type { RelayMonitor } from './monitor.js'
import { encodeRefusal } from './refusal.js'
import { checkTimeLimit, isAbandoned } from './time-limits.js'
import { TunnelHistory } from './tunnel-history.js'

/** The first byte of a record that begins a handshake (RFC 8446, section 5.1). */
const TLS_HANDSHAKE = 0x16

/** What every tunnel of a relay shares. */
export interface TunnelContext {
  readonly limits: RelayLimits
  readonly monitor: RelayMonitor
  readonly logger: Logger
  /** Why there is no room for one more. */
  readonly refusal: () => UpstreamProxyError | undefined
  /**
   * Which way leads to a target.
   * @throws {UpstreamProxyError} when none does
   */
  readonly routeTo: (authority: Authority) => TunnelRoute
  /** @param requestId told to the gateway where it is given */
  readonly open: (
    route: TunnelRoute,
    authority: Authority,
    requestId: string | undefined,
    handler: CarrierHandler,
  ) => Carrier
  /** Monotonic milliseconds: how long things took. */
  readonly now: () => number
  /** How long a tunnel may still rest. */
  readonly clock: LimitTime
  /** Called once, when the tunnel is over. */
  readonly onClosed: (tunnel: Tunnel) => void
}

export class Tunnel implements ConnectionHandler, CarrierHandler {
  readonly #context: TunnelContext
  readonly #client: Connection
  readonly #history: TunnelHistory
  #state: TunnelState = 'reading-head'
  #head: ConnectHeadParser | undefined
  #carrier: Carrier | undefined
  #authority: Authority | undefined
  #route: TunnelRoute = 'gateway'
  readonly #held = new HeldBytes()
  /** Whether the client's first byte is one of TLS; undefined before it has come. */
  #isTls: boolean | undefined
  #clientEnded = false
  #clientFlushed = false
  #uploadPaused = false
  #downloadPaused = false
  #bytesUp = 0
  #bytesDown = 0
  #movedAtSweep = 0
  #restingSince: number

  static {
    const events = [
      'connectionOnData',
      'connectionOnEnd',
      'connectionOnDrain',
      'connectionOnFinish',
      'connectionOnClose',
      'carrierOnConnected',
      'carrierOnAnswer',
      'carrierOnData',
      'carrierOnDrain',
      'carrierOnFailure',
      'carrierOnRemoteEnd',
      'carrierOnEnd',
      'abort',
      'leave',
      'sweep',
    ] as const
    guardEvents(Tunnel.prototype, events, (self, thrown) => self.carrierOnDefect(thrown))
  }

  constructor(context: TunnelContext, client: Connection) {
    this.#context = context
    this.#client = client
    this.#restingSince = context.clock.now
    this.#history = new TunnelHistory(context.monitor, context.now())
    this.#head = new ConnectHeadParser(context.limits)
  }

  // -- The client ----------------------------------------------------------------------------------------------------

  connectionOnData(bytes: Uint8Array): void {
    switch (this.#state) {
      case 'reading-head':
        this.#readHead(bytes)
        return
      case 'dialling':
      case 'waiting-for-answer':
        this.#hold(bytes)
        return
      case 'open':
      case 'half-closed-remote':
        this.#upload(bytes)
        return
      default:
        return // Thrown away: nothing of a refused or ending connection is looked at any more (RFC 9931).
    }
  }

  connectionOnEnd(): void {
    this.#clientEnded = true
    if (this.#state === 'closed' || this.#state === 'half-closed') return
    this.#meet('client-end')
    if (this.#state === 'ending') this.#closeWhenDone()
  }

  connectionOnDrain(): void {
    if (!this.#downloadPaused) return
    this.#downloadPaused = false
    this.#carrier?.resumeReading()
  }

  connectionOnFinish(): void {
    this.#clientFlushed = true
    this.#restingSince = this.#context.clock.now
    if (this.#state === 'ending') this.#closeWhenDone()
  }

  connectionOnClose(): void {
    if (this.#state !== 'closed') this.#meet('client-gone')
  }

  #readHead(bytes: Uint8Array): void {
    const verdict = this.#head?.push(bytes)
    if (verdict === undefined || verdict.kind === 'incomplete') return
    this.#head = undefined
    if (verdict.kind === 'refused') {
      this.refuse(new UpstreamProxyError(verdict.refusal, verdict.detail))
      return
    }
    const refusal = this.#context.refusal()
    if (refusal !== undefined) {
      this.refuse(refusal)
      return
    }
    this.#authority = verdict.authority
    this.#history.asksFor(verdict.authority)
    try {
      this.#route = this.#context.routeTo(verdict.authority)
    } catch (error) {
      this.refuse(asUpstreamProxyError(error, 'internal-error', 'no way to the target'))
      return
    }
    this.#hold(verdict.rest)
    this.#meet('head')
  }

  #hold(bytes: Uint8Array): void {
    this.#held.add(bytes)
    if (this.#held.length >= this.#context.limits.highWaterMarkBytes) this.#pauseUpload()
  }

  #upload(bytes: Uint8Array): void {
    this.#countUp(bytes)
    if (this.#carrier?.send(bytes) === false) this.#pauseUpload()
  }

  #countUp(bytes: Uint8Array): void {
    this.#isTls ??= bytes[0] === TLS_HANDSHAKE
    this.#bytesUp += bytes.length
    this.#context.monitor.countUp(bytes.length, this.#route)
  }

  #pauseUpload(): void {
    if (this.#uploadPaused) return
    this.#uploadPaused = true
    this.#client.pauseReading()
  }

  #resumeUpload(): void {
    if (!this.#uploadPaused) return
    this.#uploadPaused = false
    this.#client.resumeReading()
  }

  // -- The way to the target -----------------------------------------------------------------------------------------

  carrierOnConnected(): void {
    if (this.#state !== 'dialling') return
    this.#meet('dialled')
  }

  carrierOnAnswer(isOpen: boolean, bytes: Uint8Array): void {
    if (this.#state !== 'waiting-for-answer') return
    this.#meet(isOpen ? 'answer-open' : 'answer-refusal')
    this.#download(bytes)
    // A FIN that came before the answer counts from now on.
    if (isOpen && this.#clientEnded && this.#isAnswered) this.#meet('client-end')
  }

  carrierOnData(bytes: Uint8Array): void {
    if (this.#history.awaitsFirstByte) this.#history.gotFirstByte(this.#context.now())
    if (this.#isAnswered) this.#download(bytes)
  }

  carrierOnDrain(): void {
    if (this.#state !== 'waiting-for-answer') this.#resumeUpload()
  }

  carrierOnFailure(error: UpstreamProxyError): void {
    switch (this.#state) {
      case 'dialling':
      case 'waiting-for-answer':
        this.refuse(error)
        return
      case 'open':
      case 'half-closed':
      case 'half-closed-remote':
        this.#history.broke('tunnel-lost')
        this.#meet('gateway-lost')
        return
      case 'refused':
        this.#meet('gateway-lost')
        return
      default:
        return
    }
  }

  carrierOnRemoteEnd(): void {
    if (this.#isAnswered) this.#meet('remote-end')
  }

  carrierOnEnd(): void {
    if (this.#isAnswered) this.#meet('gateway-end')
  }

  carrierOnDefect(thrown: unknown): void {
    const error = asUpstreamProxyError(thrown, 'internal-error', 'a tunnel was given up')
    this.#context.logger.error(error)
    if (this.#state === 'closed') return
    this.#history.broke(error.code)
    this.#history.ends('defect', this.#clientEnded)
    this.#state = 'closed'
    this.#enterClosed()
  }

  get #isAnswered(): boolean {
    return ['open', 'half-closed', 'half-closed-remote', 'refused'].includes(this.#state)
  }

  #download(payload: Uint8Array): void {
    this.#bytesDown += payload.length
    this.#context.monitor.countDown(payload.length, this.#route)
    if (this.#client.write(payload) || this.#downloadPaused) return
    this.#downloadPaused = true
    this.#carrier?.pauseReading()
  }

  // -- The state -----------------------------------------------------------------------------------------------------

  /** Facts for the events. */
  facts = (): TunnelFacts => ({
    ...this.#history.facts(this.#context.now()),
    state: this.#state,
    bytesUp: this.#bytesUp,
    bytesDown: this.#bytesDown,
  })

  /** Answers the client with `error`; only before the gateway answered. */
  refuse(error: UpstreamProxyError): void {
    const { code } = error
    this.#history.refused(code)
    this.#context.monitor.refused(() => ({ ...this.facts(), code }), code)
    this.#client.write(encodeRefusal(error))
    this.#meet('refuse')
  }

  /** Ends the tunnel whatever its state: in words while the client can still be told, with a reset after that. */
  abort(error: UpstreamProxyError): void {
    switch (this.#state) {
      case 'reading-head':
      case 'dialling':
      case 'waiting-for-answer':
        this.refuse(error)
        return
      case 'open':
      case 'half-closed':
      case 'half-closed-remote':
        this.#history.broke(error.code)
        this.#meet('expire')
        return
      case 'refused':
        this.#meet('expire')
        return
      case 'ending':
        // A client that did not get everything may not take it for the whole.
        if (!this.#clientFlushed) this.#history.broke(error.code)
        this.#meet('expire')
        return
    }
  }

  get isHalfClosed(): boolean {
    return this.#state === 'half-closed' || this.#state === 'half-closed-remote'
  }

  /** Ends a half-closed tunnel as one that nobody waits for. */
  leave(): void {
    if (this.isHalfClosed) this.#meet('client-gone')
  }

  /** Looks whether a limit of time has passed. */
  sweep(): void {
    const { clock, limits } = this.#context
    const moved = this.#bytesUp + this.#bytesDown - this.#client.queuedBytes
    if (moved !== this.#movedAtSweep) {
      this.#movedAtSweep = moved
      this.#restingSince = clock.now
    } else this.#client.rest()
    const standing = {
      state: this.#state,
      route: this.#route,
      isClientFlushed: this.#clientFlushed,
      isTls: this.#isTls === true,
    }
    const restedMs = clock.readUntil - this.#restingSince
    if (isAbandoned(standing, restedMs, limits)) {
      this.leave()
      return
    }
    const error = checkTimeLimit(standing, restedMs, limits)
    if (error !== undefined) this.abort(error)
    else if (this.#state === 'waiting-for-answer' || this.#isAnswered) this.#carrier?.keepAlive(this.#downloadPaused)
  }

  /** The one place where the state changes in order. */
  #meet(event: TunnelEvent): void {
    const from = this.#state
    const to = nextTunnelState(from, event)
    if (to === from) return
    this.#state = to
    this.#restingSince = this.#context.clock.now
    this.#enter(to, event)
  }

  #enter(state: TunnelState, event: TunnelEvent): void {
    switch (state) {
      case 'dialling':
        this.#dial()
        return
      case 'waiting-for-answer':
        this.#history.connected(this.#carrier?.isWarm === true, this.#context.now())
        this.#begin()
        return
      case 'half-closed':
        this.#carrier?.endSending()
        return
      case 'half-closed-remote':
        this.#client.endWriting()
        return
      case 'open':
        this.#history.answered(true, this.#context.now())
        this.#context.monitor.established(this.facts, this.#route)
        for (const bytes of this.#held.take()) this.#upload(bytes)
        this.#resumeUpload()
        return
      case 'refused':
        this.#history.answered(false, this.#context.now())
        this.#context.monitor.refused(() => ({ ...this.facts(), code: undefined }), undefined)
        this.#held.take()
        this.#resumeUpload()
        return
      case 'ending':
        this.#history.ends(event, this.#clientEnded)
        this.#enterEnding(event)
        return
      case 'closed':
        this.#history.ends(event, this.#clientEnded)
        this.#enterClosed()
        return
      default:
        return
    }
  }

  #dial(): void {
    if (this.#authority === undefined) return
    this.#history.dials(this.#route, this.#context.now())
    this.#context.monitor.connecting(this.facts)
    this.#carrier = this.#context.open(this.#route, this.#authority, this.#history.requestId, this)
  }

  #begin(): void {
    // Nothing may reach the target twice.
    if (this.#carrier?.isDoubtful) {
      this.#carrier.begin([])
      return
    }
    const held = this.#held.take()
    for (const bytes of held) this.#countUp(bytes)
    this.#resumeUpload()
    if (this.#carrier?.begin(held) === false) this.#pauseUpload()
  }

  #enterEnding(event: TunnelEvent): void {
    this.#held.take()
    this.#resumeUpload()
    if (event === 'refuse') this.#carrier?.terminate()
    else if (event !== 'gateway-lost') this.#carrier?.close()
    this.#client.endWriting()
    this.#closeWhenDone()
  }

  #closeWhenDone(): void {
    if (this.#clientFlushed && this.#clientEnded) this.#meet('done')
  }

  #enterClosed(): void {
    this.#held.take()
    if (this.#history.isBroken) {
      this.#client.reset()
      this.#carrier?.terminate()
    } else {
      this.#client.close()
      this.#carrier?.resumeReading()
      this.#carrier?.close()
    }
    this.#history.closed(this.facts, this.#context.now())
    this.#context.onClosed(this)
  }
}
