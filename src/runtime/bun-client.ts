// Clients on Bun: Bun.listen, because Bun's node:net has lost bytes in several releases.
//
// Rules, each learnt from what Bun does (1.4):
// - `write()` takes what fits and says how much; the rest waits here for `drain`.
// - `shutdown()` sends a FIN and keeps reading; `end()` with unread input would reset the connection.

import { systemCode, UpstreamProxyError } from '../errors.js'
import type { ClientConnection, ClientHandler, Listener } from './runtime.js'

// What is used of https://bun.sh/docs/api/tcp

interface BunSocket {
  data: BunClientConnection
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
  close(socket: BunSocket): void
  error(socket: BunSocket, error: Error): void
}

interface BunListener {
  readonly port: number
  stop(closeActiveConnections?: boolean): void
}

declare const Bun: {
  listen(options: { hostname: string; port: number; allowHalfOpen: boolean; socket: BunSocketHandler }): BunListener
}

/** The only address that is ever listened on: a name could resolve to one that another process holds. */
const LISTEN_HOST = '127.0.0.1'

/** Accepts clients on Bun. */
export async function listen(
  port: number,
  highWaterMarkBytes: number,
  accept: (client: ClientConnection) => ClientHandler,
): Promise<Listener> {
  try {
    const listener = Bun.listen({
      hostname: LISTEN_HOST,
      port,
      allowHalfOpen: true,
      socket: {
        open(socket) {
          socket.setNoDelay(true)
          socket.data = new BunClientConnection(socket, highWaterMarkBytes)
          socket.data.handler = accept(socket.data)
        },
        data: (socket, bytes) => socket.data.handler?.clientOnData(bytes),
        drain: (socket) => socket.data.onDrain(),
        end: (socket) => socket.data.handler?.clientOnEnd(),
        close: (socket) => socket.data.onClose(),
        // `close` follows and says all that there is to say.
        error: () => {},
      },
    })
    return { port: listener.port, close: async () => listener.stop() }
  } catch (error) {
    throw new UpstreamProxyError('listen-failed', `cannot listen on ${LISTEN_HOST}:${port} (${systemCode(error)})`)
  }
}

class BunClientConnection implements ClientConnection {
  handler: ClientHandler | undefined
  readonly #socket: BunSocket
  readonly #highWaterMarkBytes: number
  /** What the system has not taken, in order. */
  #waiting: Uint8Array[] = []
  #queuedBytes = 0
  #isEnding = false
  #isClosed = false

  constructor(socket: BunSocket, highWaterMarkBytes: number) {
    this.#socket = socket
    this.#highWaterMarkBytes = highWaterMarkBytes
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

  onDrain(): void {
    this.#flush()
    if (this.#queuedBytes > 0) return
    if (this.#isEnding) this.#finish()
    else this.handler?.clientOnDrain()
  }

  onClose(): void {
    this.#isClosed = true
    this.#waiting = []
    this.#queuedBytes = 0
    this.handler?.clientOnClose()
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
    this.#socket.shutdown()
    // Not from within endWriting(): the handler learns of its own call's effects later, as on Node.
    queueMicrotask(() => this.handler?.clientOnFinish())
  }
}
