// A connection with HTTP/2 on it, between node:http2 and its TLS: bytes pass as they are, and their frames are followed. node:http2
// is silent about two things that must have an end: a frame that never does, and a connection on which nghttp2 has given up, with a
// GOAWAY as its last word, while the peer leaves it open.

import { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { Guard } from '../../guard.js'
import { FrameFollower } from './frame-follower.js'

/** Two reads of TLS. */
const HIGH_WATER_MARK_BYTES = 32_768

/** What is heard of the frames. */
export interface FrameHandler {
  /** Our side gave the connection up, with this error code (RFC 9113, section 7), and that was sent. */
  connectionOnError(errorCode: number): void
}

export class WatchedSocket extends Duplex {
  readonly #socket: TLSSocket
  readonly #received: FrameFollower
  readonly #sent: FrameFollower
  #errorSent: number | undefined
  /** Nothing more comes. */
  #isOver = false

  /** @param isServer whether the peer begins, with the client's preface */
  constructor(socket: TLSSocket, isServer: boolean, handler: FrameHandler, guard: Guard) {
    super({ highWaterMark: HIGH_WATER_MARK_BYTES })
    this.#socket = socket
    this.#received = new FrameFollower(isServer)
    this.#sent = new FrameFollower(!isServer, (errorCode) => {
      if (errorCode !== 0) this.#errorSent = errorCode
    })
    guard.ignoreErrors(this)
    guard.on(socket, 'data', (bytes: Buffer) => {
      this.#received.push(bytes)
      if (!this.push(bytes)) socket.pause()
    })
    guard.once(socket, 'end', () => this.#closeWhenRead())
    guard.on(socket, 'error', (error: Error) => this.destroy(error))
    guard.once(socket, 'close', () => this.#closeWhenRead())
    this.#afterWrite = guard.wrap(() => {
      if (this.#errorSent !== undefined) handler.connectionOnError(this.#errorSent)
    })
  }

  readonly #afterWrite: () => void

  /** Whether the peer has begun what it is to end soon. */
  get isInHead(): boolean {
    return this.#received.isInHead
  }

  override _read(): void {
    this.#socket.resume()
  }

  override read(size?: number): Buffer | null {
    const bytes = super.read(size)
    if (this.#isOver && this.readableLength === 0) process.nextTick(() => this.destroy())
    return bytes
  }

  /**
   * There is no half-close in HTTP/2. At an end of its reading node's wrapper of streams shuts its other side down, and throws where
   * nothing catches it when nghttp2 still has something to write then.
   */
  #closeWhenRead(): void {
    this.#isOver = true
    if (this.readableLength === 0) this.destroy()
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#send([bytes], callback)
  }

  override _writev(writes: { chunk: Buffer }[], callback: (error?: Error | null) => void): void {
    this.#send(
      writes.map(({ chunk }) => chunk),
      callback,
    )
  }

  #send(buffers: readonly Buffer[], callback: (error?: Error | null) => void): void {
    for (const bytes of buffers) this.#sent.push(bytes)
    const onWritten = (error?: Error | null) => {
      callback(error)
      this.#afterWrite()
    }
    this.#socket.cork()
    for (const [index, bytes] of buffers.entries()) {
      this.#socket.write(bytes, index === buffers.length - 1 ? onWritten : undefined)
    }
    this.#socket.uncork()
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#socket.end()
    callback()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#socket.destroySoon()
    callback(error)
  }
}
