// A tunnel's way over the gateway: one WebSocket, a warm one where there is one. The first message asks for the target, with
// the credential; the gateway's answer is read up to its status line; everything else is chunks.
//
// A warm WebSocket may have ended at the other side without a sign yet. When one is lost before anything came back, or is told
// that it waited for too long (408), and nothing but the head was sent, the head goes out again over a new one; once. One that has
// been quiet before is pinged with the head, and nothing but the head is sent before the answer: where it stays silent a new one
// is dialled beside it. The first of the two that says a word carries the tunnel, and the other one is dropped, so that the target is
// asked for over one at a time.
//
// A gateway wants the credential of the head to be of the token that opened the WebSocket: one that opens after the token has changed
// is given up for a new one.

import { asUpstreamProxyError, type ErrorCode, UpstreamProxyError } from '../errors.js'
import type { LimitTime } from '../limit-clock.js'
import type { Authority } from '../protocol/authority.js'
import { encodeConnectHead } from '../protocol/connect-head.js'
import { GatewayAnswerParser } from '../protocol/gateway-answer.js'
import type { GatewayEnd, GatewayHandler, GatewaySocket } from '../runtime/runtime.js'
import type { Carrier, CarrierHandler } from './carrier.js'
import type { Credential } from './credential.js'
import type { GatewayBackoff } from './gateway-backoff.js'
import { guardEvents } from './guard-events.js'
import { Keepalive } from './keepalive.js'
import type { RelayLimits } from './limits.js'
import type { Uplink } from './uplink.js'
import type { WarmPool } from './warm-pool.js'

/** What the ways of all tunnels over one gateway share. */
export interface GatewayWay {
  readonly limits: RelayLimits
  readonly credential: Credential
  readonly dial: (handler: GatewayHandler) => GatewaySocket
  readonly backoff: GatewayBackoff
  readonly uplink: Uplink
  readonly warmPool: WarmPool
  readonly clock: LimitTime
}

/** Close codes by which a gateway says that the stream is whole: 1000, and 1005 for a Close frame without a code. */
const NORMAL_CLOSE_CODES: ReadonlySet<number> = new Set([1000, 1005])

/** What is dialled in the place of a warm one that is lost, or silent. */
interface Replacement {
  readonly socket: GatewaySocket
  readonly since: number
  readonly generation: number | undefined
  /** Why it did not open, while the silent one may still answer. */
  failure?: UpstreamProxyError
}

/** What stands for one that could not be dialled, or is lost. */
const NO_SOCKET: GatewaySocket = {
  queuedBytes: 0,
  send: () => true,
  endSending() {},
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
  isDoubtful: boolean
  readonly #way: GatewayWay
  readonly #authority: Authority
  readonly #requestId: string | undefined
  readonly #handler: CarrierHandler
  #socket: GatewaySocket
  /** Of the token that it is opened with. */
  #generation: number | undefined
  #canRetry: boolean
  /** Whether the pool of warm ones waits for the answer. */
  #isAwaited: boolean
  /** When it was taken from the pool, and when it began. */
  readonly #takenAt: number
  #begunAt = 0
  #replacement: Replacement | undefined
  #keepalive: Keepalive | undefined
  /** Reads the answer; undefined once it has come. */
  #answer: GatewayAnswerParser | undefined = new GatewayAnswerParser()
  /** Payload bytes in both directions: what moves is alive. */
  #movedBytes = 0

  static {
    const events = [
      'gatewayOnOpen',
      'gatewayOnData',
      'gatewayOnEnd',
      'gatewayOnPong',
      'gatewayOnDrain',
      'gatewayOnFailure',
      'gatewayOnClose',
      'replacementOnOpen',
      'replacementOnFailure',
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
    this.isDoubtful = spare?.isQuiet === true
    this.#takenAt = spare?.at ?? 0
    this.#canRetry = this.isWarm
    this.#isAwaited = !this.isWarm
    this.#generation = spare === undefined ? this.#tokenGeneration() : spare.generation
    this.#socket = spare?.socket ?? this.#dial(this)
    // Behind the constructor, as from a socket that opens.
    if (this.isWarm) queueMicrotask(() => this.gatewayOnOpen())
  }

  /** Who lends the token out may throw: told later, as by a socket that fails. */
  #dial(handler: GatewayHandler): GatewaySocket {
    try {
      return this.#way.dial(handler)
    } catch (error) {
      const failure = asUpstreamProxyError(error, 'internal-error', 'the gateway cannot be dialled')
      queueMicrotask(() => handler.gatewayOnFailure(failure))
      return NO_SOCKET
    }
  }

  /** undefined where the source of the token fails, as the dial does then. */
  #tokenGeneration(): number | undefined {
    try {
      return this.#way.credential.generation()
    } catch {
      return undefined
    }
  }

  get queuedBytes(): number {
    return this.#socket.queuedBytes
  }

  begin(held: readonly Uint8Array[]): boolean {
    this.#begunAt = this.#way.clock.now
    this.#canRetry &&= held.length === 0
    // Before the head, for a gateway may read nothing more while it dials.
    if (this.isDoubtful) this.#socket.ping()
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

  endSending(): void {
    this.#socket.endSending()
  }

  pauseReading(): void {
    this.#socket.pauseReading()
  }

  resumeReading(): void {
    this.#socket.resumeReading()
  }

  keepAlive(isReadingPaused: boolean): void {
    const { limits, uplink } = this.#way
    if (this.#replacement !== undefined) this.#checkReplacement(this.#replacement)
    else if (this.#isSilent(limits.warmSilenceMs) && !uplink.isFull) this.#onSilence()
    else this.#checkGateway(isReadingPaused)
  }

  #isSilent(limitMs: number): boolean {
    return this.isDoubtful && this.#way.clock.readUntil - this.#begunAt >= limitMs
  }

  /** To its tunnel it waits for the answer already, so the time to dial is looked at here. */
  #checkReplacement({ since }: Replacement): void {
    const { clock, limits } = this.#way
    if (clock.readUntil - since < limits.dialTimeoutMs) return
    const late = `the gateway did not accept the WebSocket within ${limits.dialTimeoutMs} ms`
    this.#fail(gatewayError('gateway-dial-timeout', late))
  }

  #onSilence(): void {
    this.#way.warmPool.onSilence(this.#takenAt)
    this.#replace()
  }

  #checkGateway(isReadingPaused: boolean): void {
    const { queuedBytes } = this.#socket
    const movedBytes = this.#movedBytes - queuedBytes
    const { uplink } = this.#way
    const action = this.#keepalive?.check({ movedBytes, isReadingPaused, queuedBytes, isUplinkFull: uplink.isFull })
    if (this.#keepalive?.fillsUplink) uplink.onFull()
    switch (action) {
      case 'ping':
        this.#socket.ping()
        return
      case 'pong':
        this.#socket.pong()
        return
      case 'dead':
        this.#fail(gatewayError('gateway-closed', 'the gateway is silent'))
        return
    }
  }

  close(): void {
    this.#endWait()
    this.#endDoubt()
    this.#socket.close()
  }

  terminate(): void {
    this.#endWait()
    this.#endDoubt()
    this.#socket.terminate()
  }

  // -- What the WebSocket tells ------------------------------------------------------------------------------------------

  gatewayOnOpen(): void {
    if (this.#generation === this.#tokenGeneration()) this.#handler.carrierOnConnected()
    else this.#dialAnew()
  }

  #dialAnew(): void {
    this.#socket.terminate()
    this.isWarm = false
    this.isDoubtful = false
    this.#canRetry = false
    this.#generation = this.#tokenGeneration()
    this.#socket = this.#dial(this)
  }

  gatewayOnData(bytes: Uint8Array): void {
    this.#endDoubt()
    this.#movedBytes += bytes.length
    if (this.#answer === undefined) this.#handler.carrierOnData(bytes)
    else this.#readAnswer(this.#answer, bytes)
  }

  gatewayOnEnd(): void {
    if (this.#answer === undefined) this.#handler.carrierOnRemoteEnd()
    else this.#fail(gatewayError('gateway-closed', 'the gateway ended the tunnel before it answered'))
  }

  gatewayOnPong(): void {
    this.#endDoubt()
    this.#keepalive?.onPong()
  }

  gatewayOnDrain(): void {
    this.#handler.carrierOnDrain()
  }

  gatewayOnFailure(error: UpstreamProxyError): void {
    this.#way.backoff.onFailure(error)
    this.#endWait()
    if (!this.#retry()) this.#fail(error)
  }

  gatewayOnClose({ code }: GatewayEnd): void {
    if (this.#retry()) return
    if (this.#answer === undefined && NORMAL_CLOSE_CODES.has(code)) this.#handler.carrierOnEnd()
    else this.#fail(closedUnanswered(code))
  }

  #endWait(): void {
    if (!this.#isAwaited) return
    this.#isAwaited = false
    this.#way.warmPool.onAnswered()
  }

  // -- Another one in its place ------------------------------------------------------------------------------------------

  /** The socket is lost: whether another one takes its place. */
  #retry(): boolean {
    if (!this.#canRetry || this.#replacement?.failure !== undefined) return false
    this.#socket = NO_SOCKET
    if (this.#replacement === undefined) this.#replace()
    return true
  }

  #replace(): void {
    const handler: GatewayHandler = {
      gatewayOnOpen: () => this.replacementOnOpen(),
      gatewayOnData() {},
      gatewayOnEnd() {},
      gatewayOnPong() {},
      gatewayOnDrain() {},
      gatewayOnFailure: (error) => this.replacementOnFailure(error),
      gatewayOnClose: ({ code }) => this.replacementOnFailure(closedUnanswered(code)),
    }
    const generation = this.#tokenGeneration()
    this.#replacement = { socket: this.#dial(handler), since: this.#way.clock.now, generation }
  }

  /** The socket has been heard, or is not needed: nothing takes its place. */
  #endDoubt(): void {
    this.isDoubtful = false
    this.#replacement?.socket.terminate()
    this.#replacement = undefined
  }

  replacementOnOpen(): void {
    if (this.#replacement === undefined) return
    if (this.#replacement.generation !== this.#tokenGeneration()) {
      this.#replacement.socket.terminate()
      this.#replace()
      return
    }
    this.#socket.terminate()
    this.#socket = this.#replacement.socket
    this.#socket.handTo(this)
    this.#replacement = undefined
    this.isWarm = false
    this.isDoubtful = false
    this.#canRetry = false
    this.#answer = new GatewayAnswerParser()
    this.#sendFirst([])
  }

  replacementOnFailure(error: UpstreamProxyError): void {
    this.#way.backoff.onFailure(error)
    if (this.#replacement === undefined) return
    if (this.#socket === NO_SOCKET) this.#fail(error)
    else this.#replacement.failure = error
  }

  #readAnswer(parser: GatewayAnswerParser, bytes: Uint8Array): void {
    const verdict = parser.push(bytes)
    if (verdict.kind === 'status' && verdict.status === 408 && this.#canRetry) this.#socket.terminate()
    else this.#canRetry = false
    if (this.#retry() || verdict.kind === 'incomplete') return
    this.#answer = undefined
    this.#endWait()
    if (verdict.kind === 'status') this.#handler.carrierOnAnswer(verdict.status === 200, verdict.bytes)
    else this.#fail(gatewayError('gateway-protocol-error', 'the gateway did not answer in HTTP'))
  }

  /** What came of the attempt to replace it says more than the loss. */
  #fail(error: UpstreamProxyError): void {
    this.#endWait()
    this.#handler.carrierOnFailure(this.#replacement?.failure ?? error)
  }
}

function gatewayError(code: ErrorCode, message: string): UpstreamProxyError {
  return new UpstreamProxyError(code, message, { side: 'remote' })
}

function closedUnanswered(code: number): UpstreamProxyError {
  return gatewayError('gateway-closed', `the gateway closed the tunnel before it answered (close code ${code})`)
}
