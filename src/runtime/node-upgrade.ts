// The opening handshake of a WebSocket on Node (RFC 6455, section 4), which is all that is used of `ws`: the request, the checks
// of the answer, and what may go wrong. The connection behind it is handed over before `ws` puts anything on it.

import type { Socket } from 'node:net'
import { asUpstreamProxyError, systemCode, UpstreamProxyError } from '../errors.js'
import { dialFailed, upgradeRefused } from './failures.js'
import { type Opening, openConnection } from './node-dial.js'
import type { Route } from './runtime.js'
import type { Turns } from './turns.js'
import WebSocket from './web-socket.cjs'

/** What an upgrade tells: that it is open, or why not. */
export interface UpgradeHandler {
  /** `head` is what came behind the answer. */
  upgradeOnOpen(socket: Socket, head: Buffer): void
  upgradeOnFailure(error: UpstreamProxyError): void
  /** Nothing is left of an upgrade that did not open. */
  upgradeOnClose(): void
}

/**
 * One upgrade. The connection is under way before `ws` does its part, in a later turn of the event loop: when many tunnels are asked
 * for at once, their SYNs do not wait for the requests of the others.
 */
export class Upgrade {
  readonly #handler: UpgradeHandler
  readonly #opening: Opening
  #handshake: Handshake | undefined
  #isGivenUp = false

  constructor(
    url: URL,
    headers: Readonly<Record<string, string>>,
    { route, turns }: { readonly route: Route; readonly turns: Turns },
    handler: UpgradeHandler,
  ) {
    this.#handler = handler
    this.#opening = openConnection(url, route)
    turns.add(() => this.#begin(url, headers))
  }

  terminate(): void {
    this.#isGivenUp = true
    this.#opening.abandon()
    this.#handshake?.terminate()
  }

  #begin(url: URL, headers: Readonly<Record<string, string>>): void {
    if (this.#isGivenUp) {
      this.#handler.upgradeOnClose()
      return
    }
    try {
      this.#handshake = new Handshake(url, headers, this.#opening, this.#handler)
    } catch (error) {
      this.#opening.abandon()
      this.#handler.upgradeOnFailure(asUpstreamProxyError(error, 'internal-error', 'the upgrade cannot be asked for'))
      this.#handler.upgradeOnClose()
    }
  }
}

class Handshake extends WebSocket {
  readonly #handler: UpgradeHandler

  constructor(
    url: URL,
    headers: Readonly<Record<string, string>>,
    { createConnection }: Opening,
    handler: UpgradeHandler,
  ) {
    // The upload is ciphertext: compression costs memory and gains nothing.
    super(url, { headers, perMessageDeflate: false, followRedirects: false, createConnection })
    this.#handler = handler
    this.on('unexpected-response', (request, response) => {
      request.destroy()
      handler.upgradeOnFailure(upgradeRefused(response.statusCode ?? 0, response.headers['retry-after']))
    })
    this.on('error', (error) => {
      handler.upgradeOnFailure(error instanceof UpstreamProxyError ? error : dialFailed(systemCode(error)))
    })
    this.on('close', () => handler.upgradeOnClose())
  }

  /**
   * Where `ws` hands itself a connection that has passed its checks. It does not document that, so package.json names the minor
   * version that it was tested with.
   */
  setSocket(socket: Socket, head: Buffer): void {
    this.#handler.upgradeOnOpen(socket, head)
  }
}
