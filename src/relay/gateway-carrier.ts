// A tunnel's way over the gateway: one WebSocket, a warm one where there is one. The first message asks for the target, with
// the credential; the gateway's answer is read up to its status line; everything else is chunks.
//
// A warm WebSocket may have ended at the other side without a sign yet. When one is lost before anything came back, or is told
// that it waited for too long (408), and nothing but the head was sent, the head goes out again over a new one; once.

import { asUpstreamProxyError, type ErrorCode, UpstreamProxyError } from '../errors.js'
import type { LimitTime } from '../limit-clock.js'
import type { Authority } from '../protocol/authority.js'
import { encodeConnectHead } from '../protocol/connect-head.js'
import { GatewayAnswerParser } from '../protocol/gateway-answer.js'
import type { GatewayEnd, GatewayHandler, GatewaySocket } from '../runtime/runtime.js'
import type { Carrier, CarrierHandler } from './carrier.js'
import type { Credential } from './credential.js'
import { guardEvents } from './guard-events.js'
import { Keepalive } from './keepalive.js'
import type { RelayLimits } from './limits.js'
import type { WarmPool } from './warm-pool.js'

/** What the ways of all tunnels over one gateway share. */
export interface GatewayWay {
  readonly limits: RelayLimits
  readonly credential: Credential
  readonly dial: (handler: GatewayHandler) => GatewaySocket
  readonly warmPool: WarmPool
  readonly clock: LimitTime
}

/** Close codes by which a gateway says that the stream is whole: 1000, and 1005 for a Close frame without a code. */
const NORMAL_CLOSE_CODES: ReadonlySet<number> = new Set([1000, 1005])

/** What stands for one that could not be dialled. */
const NO_SOCKET: GatewaySocket = {
  queuedBytes: 0,
  send: () => true,
  handTo() {},
  ping() {},
  pong() {},
  pauseReading() {},
  resumeReading() {},
  close() {},
  terminate() {},
}

export class GatewayCarrier implements Carrier, GatewayHandler {
  isWarm: boolean
  readonly #way: GatewayWay
  readonly #authority: Authority
  readonly #requestId: string | undefined
  readonly #handler: CarrierHandler
  #socket: GatewaySocket
  #canRetry: boolean
  /** Whether the pool of warm ones waits for the answer. */
  #isAwaited: boolean
  #hasBegun = false
  /** Since when a new one is dialled in the place of a warm one that was lost. */
  #retriedAt: number | undefined
  #keepalive: Keepalive | undefined
  /** Reads the answer; undefined once it has come. */
  #answer: GatewayAnswerParser | undefined = new GatewayAnswerParser()
  /** Payload bytes in both directions: what moves is alive. */
  #movedBytes = 0

  static {
    const events = [
      'gatewayOnOpen',
      'gatewayOnData',
      'gatewayOnPong',
      'gatewayOnDrain',
      'gatewayOnFailure',
      'gatewayOnClose',
    ] as const
    guardEvents(GatewayCarrier.prototype, events, (self, thrown) => self.#handler.carrierOnDefect(thrown))
  }

  /** Dials at once, or takes what is warm. */
  constructor(way: GatewayWay, authority: Authority, requestId: string | undefined, handler: CarrierHandler) {
    this.#way = way
    this.#authority = authority
    this.#requestId = requestId
    this.#handler = handler
    const spare = way.warmPool.take(this)
    this.isWarm = spare?.isOpen === true
    this.#canRetry = this.isWarm
    this.#isAwaited = !this.isWarm
    this.#socket = spare?.socket ?? this.#dial()
    // Behind the constructor, as from a socket that opens.
    if (this.isWarm) queueMicrotask(() => this.gatewayOnOpen())
  }

  /** Who lends the token out may throw: told later, as by a socket that fails. */
  #dial(): GatewaySocket {
    try {
      return this.#way.dial(this)
    } catch (error) {
      const failure = asUpstreamProxyError(error, 'internal-error', 'the gateway cannot be dialled')
      queueMicrotask(() => this.gatewayOnFailure(failure))
      return NO_SOCKET
    }
  }

  get queuedBytes(): number {
    return this.#socket.queuedBytes
  }

  begin(held: readonly Uint8Array[]): boolean {
    this.#hasBegun = true
    this.#canRetry &&= held.length === 0
    return this.#sendFirst(held)
  }

  #sendFirst(held: readonly Uint8Array[]): boolean {
    this.#keepalive = new Keepalive(this.#way.limits, this.#way.clock)
    const credential = this.#lendCredential()
    if (credential === undefined) return true
    const head = encodeConnectHead(this.#authority, credential, this.#requestId)
    const first = Buffer.concat([head, ...held])
    this.#movedBytes += first.length - head.length
    const goesOn = this.#socket.send(first)
    for (const secret of [credential, head, first]) secret.fill(0)
    return goesOn
  }

  #lendCredential(): Uint8Array | undefined {
    try {
      return this.#way.credential.basic()
    } catch (error) {
      const failure = asUpstreamProxyError(error, 'internal-error', 'there is no credential')
      queueMicrotask(() => this.#handler.carrierOnFailure(failure))
      return undefined
    }
  }

  send(bytes: Uint8Array): boolean {
    this.#movedBytes += bytes.length
    return this.#socket.send(bytes)
  }

  /** There is no half-close on the wire. */
  endSending(): void {}

  pauseReading(): void {
    this.#socket.pauseReading()
  }

  resumeReading(): void {
    this.#socket.resumeReading()
  }

  keepAlive(isReadingPaused: boolean): void {
    if (this.#retriedAt !== undefined) this.#checkRetry(this.#way.clock.readUntil - this.#retriedAt)
    else this.#checkGateway(isReadingPaused)
  }

  /** To its tunnel it waits for the answer already, so the time to dial is looked at here. */
  #checkRetry(diallingMs: number): void {
    const { dialTimeoutMs } = this.#way.limits
    if (diallingMs >= dialTimeoutMs)
      this.#fail('gateway-dial-timeout', `the gateway did not accept the WebSocket within ${dialTimeoutMs} ms`)
  }

  #checkGateway(isReadingPaused: boolean): void {
    const { queuedBytes } = this.#socket
    const movedBytes = this.#movedBytes - queuedBytes
    switch (this.#keepalive?.check({ movedBytes, isReadingPaused, queuedBytes })) {
      case 'ping':
        this.#socket.ping()
        return
      case 'pong':
        this.#socket.pong()
        return
      case 'dead':
        this.#fail('gateway-closed', 'the gateway is silent')
        return
    }
  }

  close(): void {
    this.#endWait()
    this.#socket.close()
  }

  terminate(): void {
    this.#endWait()
    this.#socket.terminate()
  }

  // -- What the WebSocket tells ------------------------------------------------------------------------------------------

  gatewayOnOpen(): void {
    this.#retriedAt = undefined
    if (this.#hasBegun) this.#sendFirst([])
    else this.#handler.carrierOnConnected()
  }

  gatewayOnData(bytes: Uint8Array): void {
    this.#movedBytes += bytes.length
    if (this.#answer === undefined) this.#handler.carrierOnData(bytes)
    else this.#readAnswer(this.#answer, bytes)
  }

  gatewayOnPong(): void {
    this.#keepalive?.onPong()
  }

  gatewayOnDrain(): void {
    this.#handler.carrierOnDrain()
  }

  gatewayOnFailure(error: UpstreamProxyError): void {
    this.#endWait()
    if (!this.#retry()) this.#handler.carrierOnFailure(error)
  }

  gatewayOnClose({ code }: GatewayEnd): void {
    if (this.#retry()) return
    if (this.#answer === undefined && NORMAL_CLOSE_CODES.has(code)) this.#handler.carrierOnEnd()
    else this.#fail('gateway-closed', `the gateway closed the tunnel before it answered (close code ${code})`)
  }

  #endWait(): void {
    if (!this.#isAwaited) return
    this.#isAwaited = false
    this.#way.warmPool.onAnswered()
  }

  #retry(): boolean {
    if (!this.#canRetry) return false
    this.#canRetry = false
    this.isWarm = false
    this.#answer = new GatewayAnswerParser()
    this.#retriedAt = this.#way.clock.now
    this.#socket = this.#dial()
    return true
  }

  #readAnswer(parser: GatewayAnswerParser, bytes: Uint8Array): void {
    const verdict = parser.push(bytes)
    if (verdict.kind === 'status' && verdict.status === 408 && this.#canRetry) this.#socket.terminate()
    else this.#canRetry = false
    if (this.#retry() || verdict.kind === 'incomplete') return
    this.#answer = undefined
    this.#endWait()
    if (verdict.kind === 'status') this.#handler.carrierOnAnswer(verdict.status === 200, verdict.bytes)
    else this.#fail('gateway-protocol-error', 'the gateway did not answer in HTTP')
  }

  #fail(code: ErrorCode, message: string): void {
    this.#endWait()
    this.#handler.carrierOnFailure(new UpstreamProxyError(code, message, { side: 'remote' }))
  }
}
