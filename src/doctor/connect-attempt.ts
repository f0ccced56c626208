// One CONNECT to the gateway over a WebSocket of the runtime's own dialer, so that the answer has a time of its own and can be
// read whole: the relay looks at its status line alone.

import { UpstreamProxyError } from '../errors.js'
import type { Authority } from '../protocol/authority.js'
import { encodeConnectHead } from '../protocol/connect-head.js'
import { type HttpAnswer, readHttpAnswer } from '../protocol/http-answer.js'
import type { Credential } from '../relay/credential.js'
import { DEFAULT_RELAY_LIMITS } from '../relay/limits.js'
import type { GatewayHandler, Route } from '../runtime/runtime.js'
import { runtime } from '../runtime/select.js'

/** Where the WebSocket goes, and as whom. */
export interface GatewayApproach {
  readonly url: URL
  readonly route: Route
  readonly credential: Credential
}

/** What came of a CONNECT, and the milliseconds that it took. */
export interface ConnectAnswer {
  readonly answer: HttpAnswer
  readonly connectMs: number
}

/** Begins at once; its WebSocket is closed as soon as the gateway has answered. */
export class ConnectAttempt implements GatewayHandler {
  readonly answered: Promise<ConnectAnswer>
  readonly #timeoutMs: number
  readonly #credential: Credential
  readonly #authority: Authority
  readonly #dialer
  readonly #socket
  #bytes = Buffer.alloc(0)
  #askedAt = 0
  #settle: (result: HttpAnswer | Error) => void = () => {}

  constructor({ url, route, credential }: GatewayApproach, authority: Authority, timeoutMs: number) {
    this.#timeoutMs = timeoutMs
    this.#credential = credential
    this.#authority = authority
    this.#dialer = runtime.createGatewayDialer({ ...DEFAULT_RELAY_LIMITS, ...route })
    this.answered = this.#answer()
    this.#socket = this.#dialer.dial(url, credential.upgradeHeaders(), this)
  }

  async #answer(): Promise<{ readonly answer: HttpAnswer; readonly connectMs: number }> {
    const timer = setTimeout(() => this.#settle(this.#late()), this.#timeoutMs)
    try {
      const answer = await new Promise<HttpAnswer>((resolve, reject) => {
        this.#settle = (result) => (result instanceof Error ? reject(result) : resolve(result))
      })
      return { answer, connectMs: performance.now() - this.#askedAt }
    } finally {
      clearTimeout(timer)
      await this.#dialer.close()
    }
  }

  #late(): UpstreamProxyError {
    const code = this.#askedAt === 0 ? 'gateway-dial-timeout' : 'gateway-answer-timeout'
    return new UpstreamProxyError(code, `the gateway did not answer within ${this.#timeoutMs} ms`)
  }

  gatewayOnOpen(): void {
    const credential = this.#credential.basic()
    const head = encodeConnectHead(this.#authority, credential)
    this.#askedAt = performance.now()
    this.#socket.send(head)
    for (const secret of [credential, head]) secret.fill(0)
  }

  gatewayOnData(bytes: Uint8Array): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes])
    this.#read(false)
  }

  gatewayOnFailure(error: UpstreamProxyError): void {
    this.#settle(error)
  }

  gatewayOnClose({ code }: { readonly code: number }): void {
    if (this.#bytes.length > 0) this.#read(true)
    else this.#settle(new UpstreamProxyError('gateway-closed', `the gateway closed the tunnel (close code ${code})`))
  }

  gatewayOnEnd(): void {
    this.gatewayOnClose({ code: 1000 })
  }

  #read(isOver: boolean): void {
    const verdict = readHttpAnswer(this.#bytes, 'CONNECT', isOver)
    if (verdict.kind === 'complete') this.#settle(verdict.answer)
    else if (verdict.kind === 'not-http')
      this.#settle(new UpstreamProxyError('gateway-protocol-error', 'the gateway did not answer in HTTP'))
  }

  gatewayOnPong(): void {}
  gatewayOnDrain(): void {}
}
