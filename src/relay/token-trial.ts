// Whether the gateway takes a token, before any tunnel depends on it: a WebSocket is opened with it, and asked for a tunnel to a host
// that does not exist (RFC 6761, section 6.4), for some gateways look at the credential only there. Whatever else they say of that
// host, they have taken the token.

import { type Deadline, startDeadline } from '../deadline.js'
import { asUpstreamProxyError, type ErrorCode, UpstreamProxyError } from '../errors.js'
import type { Authority } from '../protocol/authority.js'
import { encodeConnectHead } from '../protocol/connect-head.js'
import { GatewayAnswerParser } from '../protocol/gateway-answer.js'
import type { GatewayEnd, GatewayHandler, GatewaySocket } from '../runtime/runtime.js'
import type { Credential } from './credential.js'
import type { RelayLimits } from './limits.js'

const NOWHERE: Authority = { kind: 'name', host: 'token-trial.invalid', port: 443 }

/** RFC 9110, sections 15.5.2 and 15.5.8. */
const REFUSALS: readonly number[] = [401, 407]

export interface TokenTrialInputs {
  /** Of the token. */
  readonly credential: Credential
  /** Opens a WebSocket with it. */
  readonly dial: (handler: GatewayHandler) => GatewaySocket
  readonly limits: Pick<RelayLimits, 'dialTimeoutMs' | 'answerTimeoutMs'>
  /** Whoever asks needs no answer any more. */
  readonly ended: AbortSignal
}

/** Resolves to undefined when the gateway takes the token, else to why not: `gateway-token-refused` when it is about the token. */
export function tryToken(inputs: TokenTrialInputs): Promise<UpstreamProxyError | undefined> {
  return new Promise((resolve) => new TokenTrial(inputs, resolve).start())
}

class TokenTrial implements GatewayHandler {
  readonly #inputs: TokenTrialInputs
  readonly #resolve: (failure: UpstreamProxyError | undefined) => void
  readonly #answer = new GatewayAnswerParser()
  readonly #onEnded = (): void => this.#fail('shutting-down', 'nobody waits for the trial')
  #socket: GatewaySocket | undefined
  #deadline: Deadline | undefined

  constructor(inputs: TokenTrialInputs, resolve: (failure: UpstreamProxyError | undefined) => void) {
    this.#inputs = inputs
    this.#resolve = resolve
  }

  start(): void {
    const { dial, limits, ended } = this.#inputs
    ended.addEventListener('abort', this.#onEnded)
    this.#wait(limits.dialTimeoutMs, 'gateway-dial-timeout', 'the gateway did not accept the WebSocket')
    this.#attempt(() => {
      this.#socket = dial(this)
    })
  }

  gatewayOnOpen(): void {
    const { credential, limits } = this.#inputs
    this.#wait(limits.answerTimeoutMs, 'gateway-answer-timeout', 'the gateway did not answer the CONNECT')
    this.#attempt(() => {
      const basic = credential.basic()
      const head = encodeConnectHead(NOWHERE, basic)
      this.#socket?.send(head)
      for (const secret of [basic, head]) secret.fill(0)
    })
  }

  gatewayOnData(bytes: Uint8Array): void {
    const verdict = this.#answer.push(bytes)
    if (verdict.kind === 'incomplete') return
    if (verdict.kind === 'not-http') this.#fail('gateway-protocol-error', 'the gateway did not answer in HTTP')
    else if (REFUSALS.includes(verdict.status))
      this.#fail('gateway-token-refused', `the gateway answered the CONNECT with ${verdict.status}`)
    else this.#settle(undefined)
  }

  gatewayOnFailure(error: UpstreamProxyError): void {
    this.#settle(error)
  }

  gatewayOnEnd(): void {
    this.gatewayOnClose({ code: 1000 })
  }

  gatewayOnClose({ code }: GatewayEnd): void {
    this.#fail('gateway-closed', `the gateway closed the tunnel before it answered (close code ${code})`)
  }

  gatewayOnPong(): void {}

  gatewayOnDrain(): void {}

  /** The source of the token may throw. */
  #attempt(step: () => void): void {
    try {
      step()
    } catch (error) {
      this.#settle(asUpstreamProxyError(error, 'internal-error', 'the token cannot be tried'))
    }
  }

  #wait(limitMs: number, code: ErrorCode, message: string): void {
    this.#deadline?.clear()
    this.#deadline = startDeadline(limitMs, () => this.#fail(code, `${message} within ${limitMs} ms`))
  }

  #fail(code: ErrorCode, message: string): void {
    this.#settle(new UpstreamProxyError(code, message, { side: 'remote' }))
  }

  #settle(failure: UpstreamProxyError | undefined): void {
    this.#deadline?.clear()
    this.#inputs.ended.removeEventListener('abort', this.#onEnded)
    this.#socket?.terminate()
    this.#resolve(failure)
  }
}
