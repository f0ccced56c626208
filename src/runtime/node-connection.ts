// One TCP connection on Node. Where the runtime allows it, it is read without Node's copy of every read: cold
// connections into one buffer for all, hot ones into buffers of the upload pool, which are framed where they lie.
//
// Rules: what a handler gets is only valid until it returns. A connection that rests holds no buffer: after a large read the
// next one has its buffer already, and rest() gives that back.

import { Socket } from 'node:net'
import { type UploadBuffer, uploadPool } from './node-upload.js'
import type { Connection, ConnectionHandler } from './runtime.js'

/** A connection is hot while its reads are at least this long: smaller ones are copied in no time. */
const HOT_READ_BYTES = 16_384

/** A write of this length is one of many, mostly: TLS gives the download in records of 16 KiB, four to a read of the system. */
const JOINED_WRITE_BYTES = 8_192

/** Node's lines on which the reading below was tested. On others it is left to 'data' events. */
const TESTED_MAJORS = new Set([20, 22, 24, 26])
const isTestedNode = TESTED_MAJORS.has(Number(process.versions.node.split('.')[0]))

/** Every cold connection reads into this: a read and its handler are one turn of the event loop. */
const coldBuffer = Buffer.allocUnsafeSlow(65_536)

/** A connection over a paused socket with `allowHalfOpen`. */
export class NodeConnection implements Connection {
  readonly peerPort: number | undefined
  readonly #highWaterMarkBytes: number
  readonly #socket: Socket
  #handler: ConnectionHandler | undefined
  #hotBuffer: UploadBuffer | undefined
  #isHot = false

  /** @param readsByItself whether the reading of the accepted socket is taken over, or left to Node */
  constructor(accepted: Socket, highWaterMarkBytes: number, readsByItself: boolean = isTestedNode) {
    this.#highWaterMarkBytes = highWaterMarkBytes
    this.#socket = readsByItself ? this.#takeOver(accepted) : accepted
    // Asked for now: the system has forgotten it when the peer has reset the connection.
    this.peerPort = this.#socket.remotePort
  }

  start(handler: ConnectionHandler): void {
    this.#handler = handler
    this.#socket
      // 'close' follows and says all that there is to say.
      .on('error', () => {})
      .on('data', (bytes: Buffer) => handler.connectionOnData(bytes))
      .on('end', () => handler.connectionOnEnd())
      .on('drain', () => handler.connectionOnDrain())
      .on('finish', () => handler.connectionOnFinish())
      .on('close', () => this.#onClose())
      .resume()
  }

  get queuedBytes(): number {
    return this.#socket.writableLength
  }

  write(bytes: Uint8Array): boolean {
    const socket = this.#socket
    if (!socket.writable) return true
    if (bytes.length >= JOINED_WRITE_BYTES && socket.writableCorked === 0) joinWrites(socket)
    return socket.write(bytes) || socket.writableLength < this.#highWaterMarkBytes
  }

  pauseReading(): void {
    this.#socket.pause()
  }

  resumeReading(): void {
    this.#socket.resume()
  }

  rest(): void {
    const buffer = this.#hotBuffer
    if (buffer === undefined || buffer.isTaken || !readInto(this.#socket, coldBuffer)) return
    this.#isHot = false
    this.#releaseHotBuffer()
  }

  endWriting(): void {
    this.#socket.end()
  }

  close(): void {
    this.#socket.destroy()
  }

  reset(): void {
    const socket = this.#socket
    // While a FIN is on its way libuv refuses to reset (EINVAL), and Node would leave the handle open for ever.
    const isFinishing = socket.writableEnded && !socket.writableFinished && socket.writableLength === 0
    if (isFinishing) socket.once('finish', () => socket.resetAndDestroy())
    else socket.resetAndDestroy()
  }

  #onClose(): void {
    this.#releaseHotBuffer()
    this.#handler?.connectionOnClose()
  }

  // -- Reading -----------------------------------------------------------------------------------------------------------

  /**
   * A socket over the same handle that reads into our memory: `onread` is an option of sockets that connect, but not of
   * those that a server accepts (https://nodejs.org/api/net.html#new-netsocketoptions).
   */
  #takeOver(accepted: Socket): Socket {
    const { _handle: handle, _server: server } = accepted as unknown as { _handle: unknown; _server: unknown }
    if (handle === null || typeof handle !== 'object') return accepted
    const socket = new Socket({
      handle,
      allowHalfOpen: true,
      pauseOnCreate: true,
      onread: {
        buffer: () => this.#nextBuffer(),
        callback: (length: number, bytes: Buffer) => this.#onRead(length, bytes),
      },
    } as unknown as ConstructorParameters<typeof Socket>[0])
    // The server counts its connections by this field, and close() waits for them.
    Object.assign(socket, { _server: server, server })
    Object.assign(accepted, { _handle: null, _server: null })
    return socket
  }

  #onRead(length: number, bytes: Buffer): boolean {
    this.#isHot = length >= HOT_READ_BYTES
    this.#handler?.connectionOnData(bytes.subarray(0, length))
    return true
  }

  #nextBuffer(): Buffer {
    if (!this.#isHot) {
      this.#releaseHotBuffer()
      return coldBuffer
    }
    if (this.#hotBuffer === undefined || this.#hotBuffer.isTaken) this.#hotBuffer = uploadPool.acquire()
    return this.#hotBuffer.payload
  }

  /** A buffer that a writer has taken comes back by itself. */
  #releaseHotBuffer(): void {
    if (this.#hotBuffer?.isTaken === false) uploadPool.release(this.#hotBuffer)
    this.#hotBuffer = undefined
  }
}

/** What of a socket says where its next read goes, besides `onread`, which is asked behind each read; none of it is documented. */
interface SocketInternals {
  readonly _handle?: { useUserBuffer?(buffer: Buffer): void } | null
  [buffer: symbol]: Buffer
}

/** Lets the next read of `socket` go into `buffer`; false where that cannot be said. */
function readInto(socket: Socket, buffer: Buffer): boolean {
  const key = Object.getOwnPropertySymbols(socket).find(({ description }) => description === 'kBuffer')
  const internals = socket as unknown as SocketInternals
  if (key === undefined || internals._handle?.useUserBuffer === undefined) return false
  internals._handle.useUserBuffer(buffer)
  internals[key] = buffer
  return true
}

/** What is written in this turn of the event loop goes out in one call at its end. */
function joinWrites(socket: Socket): void {
  socket.cork()
  setImmediate(uncork, socket)
}

function uncork(socket: Socket): void {
  socket.uncork()
}
