// A tunnel's way over the gateway: one WebSocket. The first message asks for the target, with the credential; the
// gateway's answer is read up to its status line; everything else is chunks.

import { UpstreamProxyError } from '../errors.js'
import type { Authority } from '../protocol/authority.js'
import { ChunkDecodeError, decodeChunk } from '../protocol/chunk.js'
import { encodeConnectHead } from '../protocol/connect-head.js'
import { GatewayAnswerParser } from '../protocol/gateway-answer.js'
import type { GatewayEnd, GatewayHandler, GatewaySocket } from '../runtime/runtime.js'
import type { Carrier, CarrierHandler } from './carrier.js'
import type { Credential } from './credential.js'
import { guardEvents } from './guard-events.js'
import { Keepalive } from './keepalive.js'
import type { RelayLimits } from './limits.js'

/** What the ways of all tunnels over one gateway share. */
export interface GatewayWay {
  readonly limits: RelayLimits
  readonly credential: Credential
  readonly dial: (handler: GatewayHandler) => GatewaySocket
  /** Monotonic milliseconds. */
  readonly now: () => number
}

/** Close codes by which a gateway says that the stream is whole: 1000, and 1005 for a Close frame without a code. */
const NORMAL_CLOSE_CODES: ReadonlySet<number> = new Set([1000, 1005])

export class GatewayCarrier implements Carrier, GatewayHandler {
  readonly #way: GatewayWay
  readonly #authority: Authority
  readonly #handler: CarrierHandler
  readonly #socket: GatewaySocket
  #keepalive: Keepalive | undefined
  /** Reads the answer; undefined once it has come. */
  #answer: GatewayAnswerParser | undefined = new GatewayAnswerParser()
  /** Payload bytes in both directions: what moves is alive. */
  #movedBytes = 0

  static {
    const events = [
      'gatewayOnOpen',
      'gatewayOnMessage',
      'gatewayOnPong',
      'gatewayOnDrain',
      'gatewayOnFailure',
      'gatewayOnClose',
    ] as const
    guardEvents(GatewayCarrier.prototype, events, (self, thrown) => self.#handler.carrierOnDefect(thrown))
  }

  /** Dials at once. */
  constructor(way: GatewayWay, authority: Authority, handler: CarrierHandler) {
    this.#way = way
    this.#authority = authority
    this.#handler = handler
    this.#socket = way.dial(this)
  }

  get queuedBytes(): number {
    return this.#socket.queuedBytes
  }

  begin(held: readonly Uint8Array[]): boolean {
    this.#keepalive = new Keepalive(this.#way.limits, this.#way.now())
    const credential = this.#way.credential.basic()
    const head = encodeConnectHead(this.#authority, credential)
    const first = Buffer.concat([head, ...held])
    this.#movedBytes += first.length - head.length
    const goesOn = this.#socket.send(first)
    for (const secret of [credential, head, first]) secret.fill(0)
    return goesOn
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

  keepAlive(now: number, isReadingPaused: boolean): void {
    const { queuedBytes } = this.#socket
    const movedBytes = this.#movedBytes - queuedBytes
    switch (this.#keepalive?.check(now, { movedBytes, isReadingPaused, queuedBytes })) {
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
    this.#socket.close()
  }

  terminate(): void {
    this.#socket.terminate()
  }

  // -- What the WebSocket tells ------------------------------------------------------------------------------------------

  gatewayOnOpen(): void {
    this.#handler.carrierOnConnected()
  }

  gatewayOnMessage(message: Uint8Array): void {
    let payloads: Uint8Array[]
    try {
      payloads = decodeChunk(message)
    } catch (error) {
      if (!(error instanceof ChunkDecodeError)) throw error
      this.#fail('gateway-protocol-error', `the gateway sent a chunk that does not parse: ${error.message}`)
      return
    }
    for (const payload of payloads) this.#receive(payload)
  }

  gatewayOnPong(): void {
    this.#keepalive?.onPong(this.#way.now())
  }

  gatewayOnDrain(): void {
    this.#handler.carrierOnDrain()
  }

  gatewayOnFailure(error: UpstreamProxyError): void {
    this.#handler.carrierOnFailure(error)
  }

  gatewayOnClose({ code }: GatewayEnd): void {
    if (this.#answer === undefined && NORMAL_CLOSE_CODES.has(code)) this.#handler.carrierOnEnd()
    else this.#fail('gateway-closed', `the gateway closed the tunnel before it answered (close code ${code})`)
  }

  #receive(payload: Uint8Array): void {
    this.#movedBytes += payload.length
    if (this.#answer === undefined) this.#handler.carrierOnData(payload)
    else this.#readAnswer(this.#answer, payload)
  }

  #readAnswer(parser: GatewayAnswerParser, payload: Uint8Array): void {
    const verdict = parser.push(payload)
    if (verdict.kind === 'incomplete') return
    this.#answer = undefined
    if (verdict.kind === 'status') this.#handler.carrierOnAnswer(verdict.status === 200, verdict.bytes)
    else this.#fail('gateway-protocol-error', 'the gateway did not answer in HTTP')
  }

  #fail(code: 'gateway-closed' | 'gateway-protocol-error', message: string): void {
    this.#handler.carrierOnFailure(new UpstreamProxyError(code, message, { side: 'remote' }))
  }
}
