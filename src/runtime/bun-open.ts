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
import { abortable } from './abortable.js'
import { BunConnection, type BunConnectionOptions } from './bun-connection.js'
import { Bun, type BunSocket, type BunSocketOwner, type BunTlsOptions, plainEvents, tlsEvents } from './bun-socket.js'
import type { NameCache } from './name-cache.js'
import { hostOf, isSecure, type NodeTrust, portOf } from './node-dial.js'

/**
 * Connects to the host of `url`, with TLS when its scheme asks for it.
 * @param names knows its addresses
 * @throws {Error} of the system or of TLS by its code, or the reason of `signal`
 */
export async function openConnection(
  url: URL,
  { trust, names }: { readonly trust: NodeTrust; readonly names: NameCache },
  options: BunConnectionOptions,
  signal: AbortSignal,
): Promise<BunConnection> {
  const open = (hostname: string, signal: AbortSignal): Promise<Opening> => {
    const opening = new Opening(url, trust, options)
    Bun.connect({
      hostname,
      port: portOf(url),
      allowHalfOpen: true,
      data: opening,
      ...(isSecure(url) ? { socket: tlsEvents, tls: tlsOptions(url, trust) } : { socket: plainEvents }),
    }).catch((error: unknown) => opening.fail(isOutOfDescriptors() ? codeError('EMFILE') : error))
    return opening.untilConnected(signal)
  }
  const opening = await names.dial(hostOf(url), { open, drop: (late) => late.fail(codeError('ECANCELED')) }, signal)
  try {
    return await opening.untilReady(signal)
  } catch (error) {
    names.forget(hostOf(url))
    throw error
  }
}

/** TLS with the host of `url` over a connection that leads there. As openConnection(). */
export function secureConnection(
  connection: BunConnection,
  url: URL,
  trust: NodeTrust,
  options: BunConnectionOptions,
  signal: AbortSignal,
): Promise<BunConnection> {
  const opening = new Opening(url, trust, options)
  if (!connection.upgrade(opening, tlsOptions(url, trust))) opening.fail(codeError('ECONNRESET'))
  return opening.untilReady(signal)
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
  readonly #connected = new Outcome<this>()
  readonly #ready = new Outcome<BunConnection>()
  #socket: BunSocket | undefined
  #isSettled = false

  constructor(url: URL, trust: NodeTrust, options: BunConnectionOptions) {
    this.#url = url
    this.#trust = trust
    this.#options = options
  }

  /** Resolves when TCP is there; fails when `signal` aborts before. */
  untilConnected(signal: AbortSignal): Promise<this> {
    return this.#within(this.#connected.promise, signal)
  }

  /** Resolves when the connection may be used; fails when `signal` aborts before. */
  untilReady(signal: AbortSignal): Promise<BunConnection> {
    return this.#within(this.#ready.promise, signal)
  }

  async #within<T>(outcome: Promise<T>, signal: AbortSignal): Promise<T> {
    try {
      return await abortable(outcome, signal)
    } catch (error) {
      this.fail(error)
      throw error
    }
  }

  /** Drops the socket as well, or once it is there. */
  fail(reason: unknown): void {
    this.#isSettled = true
    this.#connected.reject(reason)
    this.#ready.reject(reason)
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
    this.#connected.resolve(this)
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
    this.#isSettled = true
    this.#ready.resolve(new BunConnection(socket, options))
  }
}

/** A promise that is settled from elsewhere, and may fail unheard. */
class Outcome<T> {
  readonly promise: Promise<T>
  resolve: (value: T) => void = () => {}
  reject: (reason: unknown) => void = () => {}

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    this.promise.catch(() => {})
  }
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
