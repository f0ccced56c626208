// One tunnel: what it does when its state changes, and the bytes that pass through it. The states and their order stand in
// protocol/tunnel-state.ts, the sockets behind the two interfaces of runtime/runtime.ts.
//
// Back-pressure is one flag a direction: a write that returns false pauses the other side's reading, the drain resumes it.
// Time is told to a tunnel by sweep(), so that it needs no timer of its own.

import { asUpstreamProxyError, type ErrorCode, UpstreamProxyError } from '../errors.js'
import type { Logger } from '../log.js'
import { type Authority, formatAuthority } from '../protocol/authority.js'
import { ChunkDecodeError, decodeChunk } from '../protocol/chunk.js'
import { ConnectHeadParser, encodeConnectHead } from '../protocol/connect-head.js'
import { GatewayAnswerParser } from '../protocol/gateway-answer.js'
import { nextTunnelState, type TunnelEvent, type TunnelState } from '../protocol/tunnel-state.js'
import type { ClientConnection, ClientHandler, GatewayEnd, GatewayHandler, GatewaySocket } from '../runtime/runtime.js'
import type { Credential } from './credential.js'
import type { RelayMonitor, TunnelFacts } from './events.js'
import { Keepalive } from './keepalive.js'
import type { RelayLimits } from './limits.js'
import { encodeRefusal } from './refusal.js'
import { checkTimeLimit } from './time-limits.js'

/** What every tunnel of a relay shares. */
export interface TunnelContext {
  readonly limits: RelayLimits
  readonly monitor: RelayMonitor
  readonly credential: Credential
  readonly logger: Logger
  readonly dial: (handler: GatewayHandler) => GatewaySocket
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Called once, when the tunnel is over. */
  readonly onClosed: (tunnel: Tunnel) => void
}

/** Close codes by which a gateway says that the stream is whole: 1000, and 1005 for a Close frame without a code. */
const NORMAL_CLOSE_CODES: ReadonlySet<number> = new Set([1000, 1005])

/** Where the outside calls in: what is thrown behind them ends the one tunnel, never the process. */
const EVENT_METHODS = [
  'clientOnData',
  'clientOnEnd',
  'clientOnDrain',
  'clientOnFinish',
  'clientOnClose',
  'gatewayOnOpen',
  'gatewayOnMessage',
  'gatewayOnPong',
  'gatewayOnDrain',
  'gatewayOnFailure',
  'gatewayOnClose',
  'abort',
  'sweep',
] as const

export class Tunnel implements ClientHandler, GatewayHandler {
  readonly #context: TunnelContext
  readonly #client: ClientConnection
  readonly #id: number
  readonly #acceptedAt: number
  #state: TunnelState = 'reading-head'
  #head: ConnectHeadParser | undefined
  #answer: GatewayAnswerParser | undefined
  #gateway: GatewaySocket | undefined
  #keepalive: Keepalive | undefined
  #authority: Authority | undefined
  /** What the client sent before it may go up. */
  #held: Uint8Array[] = []
  #heldBytes = 0
  #clientEnded = false
  #clientFlushed = false
  #uploadPaused = false
  #downloadPaused = false
  #bytesUp = 0
  #bytesDown = 0
  #movedAtSweep = 0
  #restingSince: number
  #brokenBy: ErrorCode | undefined

  static {
    for (const name of EVENT_METHODS) {
      const handle = Tunnel.prototype[name] as (...args: unknown[]) => void
      Object.defineProperty(Tunnel.prototype, name, {
        value(this: Tunnel, ...args: unknown[]) {
          try {
            handle.apply(this, args)
          } catch (error) {
            this.#onDefect(error)
          }
        },
      })
    }
  }

  constructor(context: TunnelContext, client: ClientConnection) {
    this.#context = context
    this.#client = client
    this.#id = context.monitor.accepted()
    this.#acceptedAt = context.now()
    this.#restingSince = this.#acceptedAt
    this.#head = new ConnectHeadParser(context.limits)
  }

  // -- The client ----------------------------------------------------------------------------------------------------

  clientOnData(bytes: Uint8Array): void {
    switch (this.#state) {
      case 'reading-head':
        this.#readHead(bytes)
        return
      case 'dialling':
      case 'waiting-for-answer':
        this.#hold(bytes)
        return
      case 'open':
        this.#upload(bytes)
        return
      default:
        return // Thrown away: nothing of a refused or ending connection is looked at any more (RFC 9931).
    }
  }

  clientOnEnd(): void {
    this.#clientEnded = true
    if (this.#state === 'closed' || this.#state === 'half-closed') return
    this.#meet('client-end')
    if (this.#state === 'ending') this.#closeWhenDone()
  }

  clientOnDrain(): void {
    if (!this.#downloadPaused) return
    this.#downloadPaused = false
    this.#gateway?.resumeReading()
  }

  clientOnFinish(): void {
    this.#clientFlushed = true
    this.#restingSince = this.#context.now()
    if (this.#state === 'ending') this.#closeWhenDone()
  }

  clientOnClose(): void {
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
    if (this.#context.monitor.openTunnels > this.#context.limits.maxTunnels) {
      this.refuse(
        new UpstreamProxyError('too-many-tunnels', `${this.#context.limits.maxTunnels} tunnels are open already`),
      )
      return
    }
    this.#authority = verdict.authority
    this.#hold(verdict.rest)
    this.#meet('head')
  }

  #hold(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.#held.push(new Uint8Array(bytes))
    this.#heldBytes += bytes.length
    if (this.#heldBytes >= this.#context.limits.highWaterMarkBytes) this.#pauseUpload()
  }

  #takeHeld(): Uint8Array[] {
    const held = this.#held
    this.#held = []
    this.#heldBytes = 0
    return held
  }

  #upload(bytes: Uint8Array): void {
    this.#bytesUp += bytes.length
    this.#context.monitor.countUp(bytes.length)
    if (this.#gateway?.send(bytes) === false) this.#pauseUpload()
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

  // -- The gateway ---------------------------------------------------------------------------------------------------

  gatewayOnOpen(): void {
    if (this.#state !== 'dialling') return
    this.#meet('dialled')
  }

  gatewayOnMessage(message: Uint8Array): void {
    if (this.#state === 'closed' || this.#state === 'ending') return
    let payloads: Uint8Array[]
    try {
      payloads = decodeChunk(message)
    } catch (error) {
      if (!(error instanceof ChunkDecodeError)) throw error
      this.gatewayOnFailure(
        new UpstreamProxyError(
          'gateway-protocol-error',
          `the gateway sent a chunk that does not parse: ${error.message}`,
          {
            side: 'remote',
          },
        ),
      )
      return
    }
    for (const payload of payloads) this.#receive(payload)
  }

  gatewayOnPong(): void {
    this.#keepalive?.onPong(this.#context.now())
  }

  gatewayOnDrain(): void {
    if (this.#state !== 'waiting-for-answer') this.#resumeUpload()
  }

  gatewayOnFailure(error: UpstreamProxyError): void {
    switch (this.#state) {
      case 'dialling':
      case 'waiting-for-answer':
        this.refuse(error)
        return
      case 'open':
      case 'half-closed':
        this.#brokenBy = 'tunnel-lost'
        this.#meet('gateway-lost')
        return
      case 'refused':
        this.#meet('gateway-lost')
        return
      default:
        return
    }
  }

  gatewayOnClose({ code }: GatewayEnd): void {
    const isOpen = this.#state === 'open' || this.#state === 'half-closed' || this.#state === 'refused'
    if (isOpen && NORMAL_CLOSE_CODES.has(code)) {
      this.#meet('gateway-end')
      return
    }
    this.gatewayOnFailure(
      new UpstreamProxyError(
        'gateway-closed',
        `the gateway closed the tunnel before it answered (close code ${code})`,
        {
          side: 'remote',
        },
      ),
    )
  }

  #receive(payload: Uint8Array): void {
    switch (this.#state) {
      case 'waiting-for-answer':
        this.#readAnswer(payload)
        return
      case 'open':
      case 'half-closed':
      case 'refused':
        this.#download(payload)
        return
      default:
        return
    }
  }

  #readAnswer(payload: Uint8Array): void {
    this.#answer ??= new GatewayAnswerParser()
    const verdict = this.#answer.push(payload)
    if (verdict.kind === 'incomplete') return
    this.#answer = undefined
    if (verdict.kind === 'not-http') {
      this.refuse(
        new UpstreamProxyError('gateway-protocol-error', 'the gateway did not answer in HTTP', { side: 'remote' }),
      )
      return
    }
    this.#meet(verdict.status === 200 ? 'answer-open' : 'answer-refusal')
    this.#download(verdict.bytes)
    // A FIN that came before the answer counts from now on.
    if (this.#state === 'open' && this.#clientEnded) this.#meet('client-end')
  }

  #download(payload: Uint8Array): void {
    this.#bytesDown += payload.length
    this.#context.monitor.countDown(payload.length)
    if (this.#client.write(payload) || this.#downloadPaused) return
    this.#downloadPaused = true
    this.#gateway?.pauseReading()
  }

  // -- The state -----------------------------------------------------------------------------------------------------

  /** Facts for the events. */
  facts = (): TunnelFacts => ({
    id: this.#id,
    authority: this.#authority && formatAuthority(this.#authority),
    bytesUp: this.#bytesUp,
    bytesDown: this.#bytesDown,
    ageMs: this.#context.now() - this.#acceptedAt,
  })

  /** Answers the client with `error`; only before the gateway answered. */
  refuse(error: UpstreamProxyError): void {
    this.#context.monitor.refused(this.facts, error.code)
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
        this.#brokenBy = error.code
        this.#meet('expire')
        return
      case 'refused':
        this.#meet('expire')
        return
      case 'ending':
        // A client that did not get everything may not take it for the whole.
        if (!this.#clientFlushed) this.#brokenBy = error.code
        this.#meet('expire')
        return
    }
  }

  /** Looks whether a limit of time has passed. */
  sweep(now: number): void {
    const moved = this.#bytesUp + this.#bytesDown - this.#client.queuedBytes
    if (moved !== this.#movedAtSweep) {
      this.#movedAtSweep = moved
      this.#restingSince = now
    }
    const error = checkTimeLimit(this.#state, now - this.#restingSince, this.#clientFlushed, this.#context.limits)
    if (error !== undefined) this.abort(error)
    else this.#keepAlive(now)
  }

  #keepAlive(now: number): void {
    if (this.#gateway === undefined || this.#state === 'ending' || this.#state === 'closed') return
    const { queuedBytes } = this.#gateway
    const movedBytes = this.#bytesUp + this.#bytesDown - queuedBytes
    const isReadingPaused = this.#downloadPaused
    switch (this.#keepalive?.check(now, { movedBytes, isReadingPaused, queuedBytes })) {
      case 'ping':
        this.#gateway.ping()
        return
      case 'pong':
        this.#gateway.pong()
        return
      case 'dead':
        this.gatewayOnFailure(new UpstreamProxyError('gateway-closed', 'the gateway is silent', { side: 'remote' }))
        return
    }
  }

  #onDefect(thrown: unknown): void {
    const error = asUpstreamProxyError(thrown, 'internal-error', 'a tunnel was given up')
    this.#context.logger.error(error)
    if (this.#state === 'closed') return
    this.#brokenBy = error.code
    this.#state = 'closed'
    this.#enterClosed()
  }

  /** The one place where the state changes in order. */
  #meet(event: TunnelEvent): void {
    const from = this.#state
    const to = nextTunnelState(from, event)
    if (to === from) return
    this.#state = to
    this.#restingSince = this.#context.now()
    this.#enter(to, event)
  }

  #enter(state: TunnelState, event: TunnelEvent): void {
    switch (state) {
      case 'dialling':
        this.#context.monitor.connecting(this.facts)
        this.#gateway = this.#context.dial(this)
        return
      case 'waiting-for-answer':
        this.#keepalive = new Keepalive(this.#context.limits, this.#context.now())
        this.#sendFirstChunk()
        return
      case 'open':
        this.#context.monitor.established(this.facts)
        for (const bytes of this.#takeHeld()) this.#upload(bytes)
        this.#resumeUpload()
        return
      case 'refused':
        this.#context.monitor.refused(this.facts, undefined)
        this.#takeHeld()
        this.#resumeUpload()
        return
      case 'ending':
        this.#enterEnding(event)
        return
      case 'closed':
        this.#enterClosed()
        return
      default:
        return
    }
  }

  #sendFirstChunk(): void {
    if (this.#authority === undefined) return
    const credential = this.#context.credential.basic()
    const held = this.#takeHeld()
    const head = encodeConnectHead(this.#authority, credential)
    for (const bytes of held) {
      this.#bytesUp += bytes.length
      this.#context.monitor.countUp(bytes.length)
    }
    const first = Buffer.concat([head, ...held])
    this.#resumeUpload()
    if (this.#gateway?.send(first) === false) this.#pauseUpload()
    for (const secret of [credential, head, first]) secret.fill(0)
  }

  #enterEnding(event: TunnelEvent): void {
    this.#takeHeld()
    this.#resumeUpload()
    if (event === 'refuse') this.#gateway?.terminate()
    else if (event !== 'gateway-lost') this.#gateway?.close()
    this.#client.endWriting()
    this.#closeWhenDone()
  }

  #closeWhenDone(): void {
    if (this.#clientFlushed && this.#clientEnded) this.#meet('done')
  }

  #enterClosed(): void {
    this.#takeHeld()
    if (this.#brokenBy !== undefined) {
      this.#client.reset()
      this.#gateway?.terminate()
    } else {
      this.#client.close()
      this.#gateway?.resumeReading()
      this.#gateway?.close()
    }
    this.#context.monitor.closed(this.facts, this.#brokenBy)
    this.#context.onClosed(this)
  }
}
