// How a socket is opened on Bun, and what its TLS has to prove before a byte is said over it.
//
// Rules:
// - A handshake counts when Bun finds nothing wrong with chain and name. Where the server has sent its certificate, which it does
//   not when a session is resumed, the name is compared once more with node:tls: Bun's sockets have not always insisted on it.
// - Sessions are kept of verified servers alone, and offered to the same host and port alone.
// - What still waits for TCP when it is given up stays until the system gives it up: Bun cannot call it off.

import { closeSync, openSync } from 'node:fs'
import { checkServerIdentity } from 'node:tls'
import { systemCode } from '../errors.js'
import { BunConnection, type BunConnectionOptions } from './bun-connection.js'
import { Bun, type BunSocket, type BunSocketOwner, type BunTlsOptions, plainEvents, tlsEvents } from './bun-socket.js'
import { hostOf, isSecure, type NodeTrust, portOf } from './node-dial.js'

/**
 * Connects to the host of `url`, with TLS when its scheme asks for it.
 * @throws {Error} of the system or of TLS by its code, or the reason of `signal`
 */
export function openConnection(
  url: URL,
  trust: NodeTrust,
  options: BunConnectionOptions,
  signal: AbortSignal,
): Promise<BunConnection> {
  return new Promise((resolve, reject) => {
    const opening = new Opening(url, trust, options, signal, { resolve, reject })
    Bun.connect({
      hostname: hostOf(url),
      port: portOf(url),
      allowHalfOpen: true,
      data: opening,
      ...(isSecure(url) ? { socket: tlsEvents, tls: tlsOptions(url, trust) } : { socket: plainEvents }),
    }).catch((error: unknown) => opening.fail(isOutOfDescriptors() ? codeError('EMFILE') : error))
  })
}

/** TLS with the host of `url` over a connection that leads there. As openConnection(). */
export function secureConnection(
  connection: BunConnection,
  url: URL,
  trust: NodeTrust,
  options: BunConnectionOptions,
  signal: AbortSignal,
): Promise<BunConnection> {
  return new Promise((resolve, reject) => {
    const opening = new Opening(url, trust, options, signal, { resolve, reject })
    if (!connection.upgrade(opening, tlsOptions(url, trust))) opening.fail(codeError('ECONNRESET'))
  })
}

function tlsOptions(url: URL, trust: NodeTrust): BunTlsOptions {
  return {
    // What Bun's sockets take is inside of what its node:tls makes.
    secureContext: trust.trust.context,
    rejectUnauthorized: true,
    serverName: hostOf(url),
    ALPNProtocols: '\x08http/1.1',
  }
}

/** Owns a socket until it is open, and verified where it has TLS. */
class Opening implements BunSocketOwner {
  readonly #url: URL
  readonly #trust: NodeTrust
  readonly #options: BunConnectionOptions
  readonly #signal: AbortSignal
  readonly #promise: { resolve(connection: BunConnection): void; reject(reason: unknown): void }
  #socket: BunSocket | undefined
  #isSettled = false

  constructor(
    url: URL,
    trust: NodeTrust,
    options: BunConnectionOptions,
    signal: AbortSignal,
    promise: { resolve(connection: BunConnection): void; reject(reason: unknown): void },
  ) {
    this.#url = url
    this.#trust = trust
    this.#options = options
    this.#signal = signal
    this.#promise = promise
    signal.addEventListener('abort', this.#onAbort)
    if (signal.aborted) this.fail(signal.reason)
  }

  fail(reason: unknown): void {
    if (this.#isSettled) return
    this.#settle()
    this.#promise.reject(reason)
    this.#socket?.terminate()
  }

  onOpen(socket: BunSocket): void {
    this.#socket = socket
    if (this.#isSettled) {
      socket.terminate()
      return
    }
    socket.setNoDelay(true)
    const session = isSecure(this.#url) ? this.#trust.sessions.get(this.#url.host) : undefined
    if (session !== undefined) socket.setSession(session)
    if (!isSecure(this.#url)) this.#succeed(socket, this.#options)
  }

  onHandshake(socket: BunSocket, isVerified: boolean, error: Error | null): void {
    const fault = error ?? this.#findFault(socket, isVerified)
    const { sessions } = this.#trust
    if (fault === undefined) {
      const onSession = (session: Buffer): void => void sessions.set(this.#url.host, session)
      this.#succeed(socket, { ...this.#options, onSession })
    } else {
      sessions.delete(this.#url.host)
      this.fail(fault)
    }
  }

  onSession(): void {}

  onData(): void {}

  onDrain(): void {}

  onEnd(): void {}

  onClose(error: Error | undefined): void {
    this.fail(error ?? codeError('ECONNRESET'))
  }

  #findFault(socket: BunSocket, isVerified: boolean): Error | undefined {
    const error = socket.getAuthorizationError()
    if (error !== null) return error
    // Bun has no error for a reset.
    if (!isVerified || !socket.authorized) return codeError('ECONNRESET')
    if (socket.isSessionReused()) return undefined
    return checkServerIdentity(hostOf(this.#url), socket.getPeerCertificate())
  }

  #succeed(socket: BunSocket, options: BunConnectionOptions): void {
    if (this.#isSettled) return
    this.#settle()
    this.#promise.resolve(new BunConnection(socket, options))
  }

  #settle(): void {
    this.#isSettled = true
    this.#signal.removeEventListener('abort', this.#onAbort)
  }

  readonly #onAbort = (): void => this.fail(this.#signal.reason)
}

/** Bun says ECONNREFUSED when there is no descriptor left for a socket. */
function isOutOfDescriptors(): boolean {
  try {
    closeSync(openSync('/dev/null', 'r'))
    return false
  } catch (error) {
    return systemCode(error) === 'EMFILE' || systemCode(error) === 'ENFILE'
  }
}

function codeError(code: string): Error {
  return Object.assign(new Error(code), { code })
}
