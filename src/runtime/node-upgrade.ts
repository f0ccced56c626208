// The opening handshake of a WebSocket on Node (RFC 6455, section 4), which is all that is used of `ws`: the request, the checks
// of the answer, and what may go wrong. The connection behind it is handed over before `ws` puts anything on it.

import type { Socket } from 'node:net'
import { systemCode, UpstreamProxyError } from '../errors.js'
import { dialFailed, upgradeRefused } from './failures.js'
import { connector } from './node-dial.js'
import type { Route } from './runtime.js'
import WebSocket from './web-socket.cjs'

/** What an upgrade tells: that it is open, or why not. */
export interface UpgradeHandler {
  /** `head` is what came behind the answer. */
  upgradeOnOpen(socket: Socket, head: Buffer): void
  upgradeOnFailure(error: UpstreamProxyError): void
  /** Nothing is left of an upgrade that did not open. */
  upgradeOnClose(): void
}

/** One upgrade; terminate() gives it up. */
export class Upgrade extends WebSocket {
  readonly #handler: UpgradeHandler
  readonly #dial: AbortController | undefined

  constructor(url: URL, headers: Readonly<Record<string, string>>, route: Route, handler: UpgradeHandler) {
    const dial = route.egress === undefined ? undefined : new AbortController()
    const createConnection = connector(url, route, dial?.signal)
    // The upload is ciphertext: compression costs memory and gains nothing.
    super(url, { headers, perMessageDeflate: false, followRedirects: false, createConnection })
    this.#handler = handler
    this.#dial = dial
    this.on('unexpected-response', (request, response) => {
      request.destroy()
      handler.upgradeOnFailure(upgradeRefused(response.statusCode ?? 0))
    })
    this.on('error', (error) => {
      handler.upgradeOnFailure(error instanceof UpstreamProxyError ? error : dialFailed(systemCode(error)))
    })
    this.on('close', () => handler.upgradeOnClose())
  }

  override terminate(): void {
    this.#dial?.abort()
    super.terminate()
  }

  /**
   * Where `ws` hands itself a connection that has passed its checks. It does not document that, so package.json names the minor
   * version that it was tested with.
   */
  setSocket(socket: Socket, head: Buffer): void {
    this.#handler.upgradeOnOpen(socket, head)
  }
}
