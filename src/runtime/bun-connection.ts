// TCP connections on Bun, accepted and opened: Bun's own sockets, because Bun's node:net has lost bytes in several releases.
//
// Rules, each learnt from what Bun does (1.4):
// - `write()` takes what fits and says how much; the rest waits here for `drain`.
// - `shutdown()` sends a FIN and keeps reading; `end()` with unread input would reset the connection.
// - Behind our own FIN the peer's is only told as `close` without an error.
// - Every read comes in memory of its own, up to 512 KiB. Left to the garbage collector, the next read gets memory that the system
//   has to map and no cache knows; given back at once, it gets the same again, for about half of a download's CPU time.

import { systemCode, UpstreamProxyError } from '../errors.js'
import { Bun, type BunSocket, type BunSocketOwner, type BunTlsOptions, plainEvents, tlsEvents } from './bun-socket.js'
import type { Connection, ConnectionHandler, Listener } from './runtime.js'

/** The only address that is ever listened on: a name could resolve to one that another process holds. */
const LISTEN_HOST = '127.0.0.1'

/** Accepts clients on Bun. */
export async function listen(
  port: number,
  highWaterMarkBytes: number,
  accept: (client: Connection) => void,
): Promise<Listener> {
  const open = (socket: BunSocket): void => {
    socket.setNoDelay(true)
    accept(new BunConnection(socket, { highWaterMarkBytes }))
  }
  try {
    const socket = { ...plainEvents, open }
    const listener = Bun.listen({ hostname: LISTEN_HOST, port, allowHalfOpen: true, socket })
    return { port: listener.port, close: async () => listener.stop() }
  } catch (error) {
    throw new UpstreamProxyError('listen-failed', `cannot listen on ${LISTEN_HOST}:${port} (${systemCode(error)})`)
  }
}

/** What is shorter is left to the garbage collector: it may lie within other memory, and giving it back saves nothing. */
const MIN_RELEASED_BYTES = 16_384

/** How much may wait to be sent, and what else a connection is to know. */
export interface BunConnectionOptions {
  readonly highWaterMarkBytes: number
  /** 0 unless given. */
  readonly lowWaterMarkBytes?: number
  /** Told of every TLS session that may be resumed. */
  readonly onSession?: (session: Buffer) => void
}

/** A connection over a socket that is open, and verified where it has TLS. */
export class BunConnection implements Connection, BunSocketOwner {
  readonly #socket: BunSocket
  readonly #options: BunConnectionOptions
  #handler: ConnectionHandler | undefined
  /** What the system has not taken, in order. */
  #waiting: Uint8Array[] = []
  #queuedBytes = 0
  #isHigh = false
  /** What came before there was a handler. */
  #early: Uint8Array | undefined
  #isEnding = false
  #hasShutDown = false
  #hasEnded = false
  #isClosed = false

  /** From here on the events of `socket` come here. */
  constructor(socket: BunSocket, options: BunConnectionOptions) {
    this.#socket = socket
    this.#options = options
    socket.data = this
  }

  /** May be called again: from then on the new handler is told. */
  start(handler: ConnectionHandler): void {
    this.#handler = handler
    const early = this.#early
    this.#early = undefined
    if (early !== undefined) handler.connectionOnData(early)
  }

  /** The next handler gets `bytes` first. */
  pushBack(bytes: Uint8Array): void {
    this.#handler = undefined
    if (bytes.length > 0) this.#early = bytes
  }

  /** Goes over to TLS: from here on `owner` is told what happens. False when the connection is closed. */
  upgrade(owner: BunSocketOwner, tls: BunTlsOptions): boolean {
    if (this.#isClosed) return false
    const [wire] = this.#socket.upgradeTLS({ data: owner, tls, socket: tlsEvents }) ?? []
    // What comes over the wire is told twice, unless nobody listens.
    wire?.reload({ socket: { drain() {} } })
    return wire !== undefined
  }

  get peerPort(): number | undefined {
    return this.#isClosed ? undefined : this.#socket.remotePort
  }

  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** Nothing of `bytes` is kept. */
  write(bytes: Uint8Array): boolean {
    const taken = this.#offer(bytes)
    if (taken < bytes.length) this.#queue(new Uint8Array(bytes.subarray(taken)))
    return !this.#isHigh
  }

  pauseReading(): void {
    if (!this.#isClosed) this.#socket.pause()
  }

  resumeReading(): void {
    if (!this.#isClosed) this.#socket.resume()
  }

  /** Bun reads into memory of its own. */
  rest(): void {}

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

  /** What the system takes of `bytes` at once; all of them once nothing is sent any more. */
  #offer(bytes: Uint8Array): number {
    if (this.#isClosed || this.#isEnding) return bytes.length
    return this.#queuedBytes > 0 ? 0 : Math.max(this.#socket.write(bytes), 0)
  }

  #queue(bytes: Uint8Array): void {
    this.#waiting.push(bytes)
    this.#queuedBytes += bytes.length
    this.#isHigh ||= this.#queuedBytes >= this.#options.highWaterMarkBytes
  }

  // -- What the socket tells -----------------------------------------------------------------------------------------------

  onOpen(): void {}

  onHandshake(): void {}

  onSession(session: Buffer): void {
    this.#options.onSession?.(session)
  }

  onData(bytes: Uint8Array): void {
    if (this.#handler !== undefined) {
      this.#handler.connectionOnData(bytes)
      release(bytes)
    } else this.#early = this.#early === undefined ? bytes : Buffer.concat([this.#early, bytes])
  }

  onEnd(): void {
    this.#hasEnded = true
    this.#handler?.connectionOnEnd()
  }

  onDrain(): void {
    this.#flush()
    if (this.#isEnding) {
      if (this.#queuedBytes === 0) this.#finish()
    } else if (this.#isHigh && this.#queuedBytes <= (this.#options.lowWaterMarkBytes ?? 0)) {
      this.#isHigh = false
      this.#handler?.connectionOnDrain()
    }
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
      release(bytes)
      sent++
    }
    this.#waiting.splice(0, sent)
  }

  #finish(): void {
    if (this.#hasShutDown) return
    this.#hasShutDown = true
    this.#socket.shutdown()
    // Not from within endWriting(): the handler learns of its own call's effects later, as on Node.
    queueMicrotask(() => this.#handler?.connectionOnFinish())
  }
}

/** Frees the memory in which `bytes` lie, and nothing else does; they are empty afterwards. */
function release({ buffer }: Uint8Array): void {
  if (buffer.byteLength >= MIN_RELEASED_BYTES) (buffer as unknown as Transferable).transfer(0)
}

/** Of ES2024: every Bun has it, Node only from 22. */
interface Transferable {
  transfer(byteLength: number): ArrayBuffer
}
