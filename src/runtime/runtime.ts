// What the relay needs of a JavaScript runtime: a listener on loopback, WebSockets to the gateway, and one small download.
// One adapter a runtime implements it; nothing else in the package knows `ws`, `node:net` or `Bun`.

import type { UpstreamProxyError } from '../errors.js'
import type { Authority } from '../protocol/authority.js'
import type { EgressProxy } from '../protocol/egress-proxy.js'

/** One TCP connection: of a local client, or to a target past the gateway. Writes after `reset`, `close` or the peer's end are ignored. */
export interface Connection {
  /** Nothing is read before; from here on `handler` is told what happens. */
  start(handler: ConnectionHandler): void
  /** undefined once it is not known any more. */
  readonly peerPort: number | undefined
  /** Bytes that the system has not taken yet. */
  readonly queuedBytes: number
  /**
   * Queues `bytes`, which must not be changed any more, or are what `gatewayOnData` has just told; false: wait for
   * `connectionOnDrain` before the next.
   */
  write(bytes: Uint8Array): boolean
  pauseReading(): void
  resumeReading(): void
  /** Gives back what it holds for bytes that may come soon; called now and then while none do. */
  rest(): void
  /** FIN behind everything queued; reading goes on. `connectionOnFinish` tells when the system has taken it all. */
  endWriting(): void
  /** Lets go in order: what the system has taken still arrives. */
  close(): void
  /** RST: the peer learns that the stream is broken. */
  reset(): void
}

/** What a connection tells its owner. Nothing follows `connectionOnClose`. */
export interface ConnectionHandler {
  /** `bytes` are valid until it returns: what is kept is copied. */
  connectionOnData(bytes: Uint8Array): void
  connectionOnEnd(): void
  connectionOnDrain(): void
  connectionOnFinish(): void
  connectionOnClose(): void
}

/** Where the relay accepts clients. */
export interface Listener {
  readonly port: number
  /** Stops accepting; connections that are open stay. */
  close(): Promise<void>
}

/** One WebSocket to the gateway. */
export interface GatewaySocket {
  /** Bytes that the system has not taken yet. */
  readonly queuedBytes: number
  /** Sends `payload` in chunks, a message each; false: wait for `gatewayOnDrain` before the next. Nothing of it is kept. */
  send(payload: Uint8Array): boolean
  /** Says that nothing more is sent, after everything queued. */
  endSending(): void
  /** From here on `handler` is told what happens, instead of the one before. */
  handTo(handler: GatewayHandler): void
  /** Asks for a pong (RFC 6455, section 5.5.2). */
  ping(): void
  /** A pong that nobody asked for (RFC 6455, section 5.5.3): a sign of life to whatever is on the way. */
  pong(): void
  pauseReading(): void
  resumeReading(): void
  /** Close frame 1000 behind everything queued. */
  close(): void
  /** Drops the connection at once. */
  terminate(): void
}

/** How a WebSocket ended. `code` is the close code (RFC 6455, section 7.4); 1006 when no Close frame came. */
export interface GatewayEnd {
  readonly code: number
}

/** What a WebSocket tells its owner. Before `gatewayOnOpen` only `gatewayOnFailure` can come; both ends are final. */
export interface GatewayHandler {
  gatewayOnOpen(): void
  /** Payload of chunks, as it arrives: valid until it returns, and for `Connection.write()`. */
  gatewayOnData(bytes: Uint8Array): void
  /** The gateway sends no more data. */
  gatewayOnEnd(): void
  gatewayOnPong(): void
  gatewayOnDrain(): void
  /** The WebSocket could not be opened, or broke a rule of its protocol. */
  gatewayOnFailure(error: UpstreamProxyError): void
  gatewayOnClose(end: GatewayEnd): void
}

/** Who is trusted as the gateway, in the form that the runtime needs; made once and shared. */
export interface Trust {
  readonly trust: unknown
}

/** How the gateway, or a target past it, is reached. */
export interface Route {
  readonly trust: Trust
  /** undefined: directly. */
  readonly egress: EgressProxy | undefined
  /** Milliseconds for the egress proxy to accept the connection and answer. */
  readonly egressTimeoutMs: number
}

/** How the WebSockets of one gateway are opened. */
export interface GatewayEndpoint extends Route {
  /** The largest message that is sent, and the largest that is accepted. */
  readonly maxSentMessageBytes: number
  readonly maxReceivedMessageBytes: number
  /** Bytes that may wait in one direction before the other side is made to wait, and where it goes on. */
  readonly highWaterMarkBytes: number
  readonly lowWaterMarkBytes: number
}

/** Opens WebSockets to one gateway. */
export interface GatewayDialer {
  /** `headers` are of the upgrade request alone; the dialer keeps no copy. */
  dial(url: URL, headers: Readonly<Record<string, string>>, handler: GatewayHandler): GatewaySocket
  /** Drops what is still being closed; resolves when no socket is left. */
  close(): Promise<void>
}

/** An HTTP answer of a small download. */
export interface DownloadedAnswer {
  readonly status: number
  readonly location: string | undefined
  readonly body: Uint8Array
}

/** How a download is bounded. */
export interface DownloadLimits {
  readonly maxBytes: number
  /** Milliseconds for the connection, TLS not included; as long as the whole takes unless given. */
  readonly reachTimeoutMs?: number | undefined
  /** Ends it; the reason is what it rejects with. */
  readonly signal: AbortSignal
}

/** The adapter itself. */
export interface Runtime {
  listen(port: number, highWaterMarkBytes: number, accept: (client: Connection) => void): Promise<Listener>
  /**
   * Opens a TCP connection to `target`, through the egress proxy of `route` where it has one. Rejects with an
   * UpstreamProxyError; when `signal` aborts, with anything.
   */
  connect(target: Authority, route: Route, highWaterMarkBytes: number, signal: AbortSignal): Promise<Connection>
  /** @param certificates PEM certificates that may sign the gateway's own; the runtime's roots when undefined */
  createTrust(certificates: string | undefined): Trust
  createGatewayDialer(endpoint: GatewayEndpoint): GatewayDialer
  /** GET without following redirects. Rejects with an UpstreamProxyError. */
  download(url: URL, route: Route, limits: DownloadLimits): Promise<DownloadedAnswer>
}
