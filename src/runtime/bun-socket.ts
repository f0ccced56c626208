// What is used of Bun's sockets (https://bun.sh/docs/api/tcp), and one set of event handlers for all of them: Bun hands every
// event to the owner that stands in the socket's `data`.

import type { PeerCertificate } from 'node:tls'

/** Where a connection goes with TLS, and whom it trusts. */
export interface BunTlsOptions {
  readonly secureContext: unknown
  /** Said wherever it may be, so that NODE_TLS_REJECT_UNAUTHORIZED has no say. */
  readonly rejectUnauthorized: true
  /** Name for which the certificate has to be. */
  readonly serverName: string
  /** One protocol as RFC 7301 has it on the wire, its length in front. */
  readonly ALPNProtocols: string
}

export interface BunSocket {
  data: BunSocketOwner
  readonly remotePort: number
  readonly authorized: boolean
  getAuthorizationError(): Error | null
  getPeerCertificate(): PeerCertificate
  isSessionReused(): boolean
  /** Bytes that were taken; -1 when it is closed. */
  write(bytes: Uint8Array): number
  shutdown(): void
  end(): void
  terminate(): void
  pause(): void
  resume(): void
  setNoDelay(noDelay: boolean): void
  /** Only in `open`. */
  setSession(session: Buffer): void
  /** Replaces the handlers; Bun wants one at least of `data` and `drain`. */
  reload(options: { readonly socket: Pick<BunSocketEvents, 'drain'> }): void
  /** The socket of the bytes on the wire, which goes on telling what comes in, and the one of what they say. */
  upgradeTLS(options: {
    readonly data: BunSocketOwner
    readonly tls: BunTlsOptions
    readonly socket: BunSocketEvents
  }): readonly [wire: BunSocket, secured: BunSocket] | undefined
}

/** Who is told what happens to a socket. */
export interface BunSocketOwner {
  /** The socket is connected; its TLS handshake, if it has one, is still to come. */
  onOpen(socket: BunSocket): void
  onHandshake(socket: BunSocket, isVerified: boolean, error: Error | null): void
  /** A session that may be resumed. */
  onSession(session: Buffer): void
  /** `bytes` are nobody else's. */
  onData(bytes: Uint8Array): void
  onDrain(): void
  onEnd(): void
  onClose(error: Error | undefined): void
}

export interface BunSocketEvents {
  open(socket: BunSocket): void
  handshake?(socket: BunSocket, isVerified: boolean, error: Error | null): void
  session?(socket: BunSocket, session: Buffer): void
  data(socket: BunSocket, bytes: Uint8Array): void
  drain(socket: BunSocket): void
  end(socket: BunSocket): void
  close(socket: BunSocket, error?: Error): void
  error(socket: BunSocket, error: Error): void
  connectError?(socket: BunSocket, error: Error): void
}

/** Of sockets whose owner stands in `data` from the start, or is put there by `open`. */
export const plainEvents: BunSocketEvents = {
  open: (socket) => socket.data.onOpen(socket),
  data: (socket, bytes) => socket.data.onData(bytes),
  drain: (socket) => socket.data.onDrain(),
  end: (socket) => socket.data.onEnd(),
  close: (socket, error) => socket.data?.onClose(error),
  // `close` follows and says all that there is to say.
  error: () => {},
  // The promise of Bun.connect() says it too.
  connectError: () => {},
}

/** With these Bun tells `open` before the handshake, as setSession() needs it, and leaves it to us what a handshake is worth. */
export const tlsEvents: BunSocketEvents = {
  ...plainEvents,
  handshake: (socket, isVerified, error) => socket.data.onHandshake(socket, isVerified, error),
  session: (socket, session) => socket.data.onSession(session),
}

interface BunListener {
  readonly port: number
  stop(closeActiveConnections?: boolean): void
}

interface BunSockets {
  listen(options: {
    readonly hostname: string
    readonly port: number
    readonly allowHalfOpen: boolean
    readonly socket: BunSocketEvents
  }): BunListener
  connect(options: {
    readonly hostname: string
    readonly port: number
    readonly allowHalfOpen: boolean
    readonly data: BunSocketOwner
    readonly socket: BunSocketEvents
    readonly tls?: BunTlsOptions
  }): Promise<BunSocket>
}

/** undefined elsewhere. */
export const { Bun } = globalThis as unknown as { readonly Bun: BunSockets }
