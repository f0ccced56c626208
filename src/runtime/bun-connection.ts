// TCP connections on Bun, accepted and opened: Bun.listen and Bun.connect, because Bun's node:net has lost bytes in several
// releases.
//
// Rules, each learnt from what Bun does (1.4):
// - `write()` takes what fits and says how much; the rest waits here for `drain`.
// - `shutdown()` sends a FIN and keeps reading; `end()` with unread input would reset the connection.
// - Behind our own FIN the peer's is only told as `close` without an error.

import { systemCode, UpstreamProxyError } from '../errors.js'
import type { BunTlsOptions } from './bun-gateway.js'
import type { Connection, ConnectionHandler, Listener } from './runtime.js'

// What is used of https://bun.sh/docs/api/tcp

interface BunSocket {
  data: BunConnection
  write(bytes: Uint8Array): number
  shutdown(): void
  end(): void
  terminate(): void
  pause(): void
  resume(): void
  setNoDelay(noDelay: boolean): void
}

interface BunSocketHandler {
  open(socket: BunSocket): void
  data(socket: BunSocket, bytes: Uint8Array): void
  drain(socket: BunSocket): void
  end(socket: BunSocket): void
  close(socket: BunSocket, error?: Error): void
  error(socket: BunSocket, error: Error): void
}

interface BunListener {
  readonly port: number
  stop(closeActiveConnections?: boolean): void
}

interface BunSocketOptions {
  readonly hostname: string
  readonly port: number
  readonly allowHalfOpen: boolean
  readonly socket: BunSocketHandler
}

declare const Bun: {
  listen(options: BunSocketOptions): BunListener
  connect(
    options: BunSocketOptions & { readonly tls?: BunTlsOptions & { readonly serverName: string } },
  ): Promise<BunSocket>
}

/** The only address that is ever listened on: a name could resolve to one that another process holds. */
const LISTEN_HOST = '127.0.0.1'

/** Accepts clients on Bun. */
export async function listen(
  port: number,
  highWaterMarkBytes: number,
  accept: (client: Connection) => void,
): Promise<Listener> {
  try {
    const listener = Bun.listen({
      hostname: LISTEN_HOST,
      port,
      allowHalfOpen: true,
      socket: socketHandler((socket) => accept(open(socket, highWaterMarkBytes))),
    })
    return { port: listener.port, close: async () => listener.stop() }
  } catch (error) {
    throw new UpstreamProxyError('listen-failed', `cannot listen on ${LISTEN_HOST}:${port} (${systemCode(error)})`)
  }
}

/** Where a connection is opened to. */
export interface BunAddress {
  readonly hostname: string
  readonly port: number
  readonly tls?: BunTlsOptions
}

/**
 * Opens a connection; an abort counts once it is open.
 * @throws {Error} of the system
 */
export async function openConnection(
  { hostname, port, tls }: BunAddress,
  highWaterMarkBytes: number,
  signal: AbortSignal,
): Promise<BunConnection> {
  const socket = await Bun.connect({
    hostname,
    port,
    allowHalfOpen: true,
    socket: socketHandler((opened) => open(opened, highWaterMarkBytes)),
    ...(tls === undefined ? {} : { tls: { ...tls, serverName: hostname } }),
  })
  if (signal.aborted) {
    socket.terminate()
    throw signal.reason
  }
  return socket.data
}

function open(socket: BunSocket, highWaterMarkBytes: number): BunConnection {
  socket.setNoDelay(true)
  socket.data = new BunConnection(socket, highWaterMarkBytes)
  return socket.data
}

function socketHandler(onOpen: (socket: BunSocket) => void): BunSocketHandler {
  return {
    open: onOpen,
    data: (socket, bytes) => socket.data.onData(bytes),
    drain: (socket) => socket.data.onDrain(),
    end: (socket) => socket.data.onEnd(),
    close: (socket, error) => socket.data?.onClose(error),
    // `close` follows and says all that there is to say.
    error: () => {},
  }
}

export class BunConnection implements Connection {
  #handler: ConnectionHandler | undefined
  readonly #socket: BunSocket
  readonly #highWaterMarkBytes: number
  /** What the system has not taken, in order. */
  #waiting: Uint8Array[] = []
  #queuedBytes = 0
  #early: Uint8Array | undefined
  #isEnding = false
  #hasShutDown = false
  #hasEnded = false
  #isClosed = false

  constructor(socket: BunSocket, highWaterMarkBytes: number) {
    this.#socket = socket
    this.#highWaterMarkBytes = highWaterMarkBytes
  }

  /** May be called again: from then on the new handler is told. */
  start(handler: ConnectionHandler): void {
    this.#handler = handler
    const early = this.#early
    this.#early = undefined
    if (early !== undefined && early.length > 0) handler.connectionOnData(early)
  }

  /** The next handler gets `bytes` first. */
  pushBack(bytes: Uint8Array): void {
    this.#early = bytes
  }

  get queuedBytes(): number {
    return this.#queuedBytes
  }

  write(bytes: Uint8Array): boolean {
    if (this.#isClosed || this.#isEnding) return true
    const taken = this.#waiting.length > 0 ? 0 : Math.max(this.#socket.write(bytes), 0)
    if (taken < bytes.length) {
      this.#waiting.push(bytes.subarray(taken))
      this.#queuedBytes += bytes.length - taken
    }
    return this.#queuedBytes < this.#highWaterMarkBytes
  }

  pauseReading(): void {
    if (!this.#isClosed) this.#socket.pause()
  }

  resumeReading(): void {
    if (!this.#isClosed) this.#socket.resume()
  }

  endWriting(): void {
    if (this.#isClosed || this.#isEnding) return
    this.#isEnding = true
    if (this.#queuedBytes === 0) this.#finish()
  }

  close(): void {
    if (!this.#isClosed) this.#socket.end()
  }

  reset(): void {
    if (!this.#isClosed) this.#socket.terminate()
  }

  onData(bytes: Uint8Array): void {
    this.#handler?.connectionOnData(bytes)
  }

  onEnd(): void {
    this.#hasEnded = true
    this.#handler?.connectionOnEnd()
  }

  onDrain(): void {
    this.#flush()
    if (this.#queuedBytes > 0) return
    if (this.#isEnding) this.#finish()
    else this.#handler?.connectionOnDrain()
  }

  onClose(error: Error | undefined): void {
    if (this.#hasShutDown && !this.#hasEnded && error === undefined) this.onEnd()
    this.#isClosed = true
    this.#waiting = []
    this.#queuedBytes = 0
    this.#handler?.connectionOnClose()
  }

  #flush(): void {
    let sent = 0
    for (const bytes of this.#waiting) {
      const taken = Math.max(this.#socket.write(bytes), 0)
      this.#queuedBytes -= taken
      if (taken < bytes.length) {
        this.#waiting[sent] = bytes.subarray(taken)
        break
      }
      sent++
    }
    this.#waiting.splice(0, sent)
  }

  #finish(): void {
    this.#hasShutDown = true
    this.#socket.shutdown()
    // Not from within endWriting(): the handler learns of its own call's effects later, as on Node.
    queueMicrotask(() => this.#handler?.connectionOnFinish())
  }
}
