// A connection with HTTP/2 on it, between node:http2 and its TLS: bytes pass as they are, and their frames are followed. node:http2
// is silent about two things that must have an end: a frame that never does, and a connection on which nghttp2 has given up, with a
// GOAWAY as its last word, while the peer leaves it open.

import { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { Guard } from '../../guard.js'
import { FrameFollower } from './frame-follower.js'

/** A peer that has ended may still read what was on its way to it. */
const LAST_WRITES_MS = 1_000
/** Turns of the event loop from the end of a write to the frame that node:http2 sends for it: the trailers of a stream take two. */
const QUIET_TURNS = 3

/** Two reads of TLS. */
const HIGH_WATER_MARK_BYTES = 32_768

/** What is heard of the frames. */
export interface FrameHandler {
  /** Our side gave the connection up, with this error code (RFC 9113, section 7), and that was sent. */
  connectionOnError(errorCode: number): void
  /**
   * The peer has closed the connection, or it failed; all that came was handed over, unless the session reads no more. Its owner
   * destroys it, and with that the session and every stream of it, the ones too that came whole and are not read yet.
   */
  connectionOnEnd(error?: Error): void
  /**
   * It is about to be closed, and the session has to be destroyed first. What a session writes later node drops without a word, and
   * what waits for the end of such a write is in memory for ever: streams, session and tunnel.
   */
  connectionOnDestroy(error?: Error): void
}

export class WatchedSocket extends Duplex {
  readonly #socket: TLSSocket
  readonly #handler: FrameHandler
  readonly #received: FrameFollower
  readonly #sent: FrameFollower
  #errorSent: number | undefined
  readonly #guard: Guard
  /** Nothing more comes. */
  #isReadOver = false
  /** What is written goes nowhere. */
  #isClosed = false
  /** Writes that the system has not taken. */
  #unwritten = 0
  #isLeaving = false
  readonly #afterWrite: () => void
  readonly #reportEnd: () => void

  /** @param isServer whether the peer begins, with the client's preface */
  constructor(socket: TLSSocket, isServer: boolean, handler: FrameHandler, guard: Guard) {
    super({ highWaterMark: HIGH_WATER_MARK_BYTES })
    this.#socket = socket
    this.#handler = handler
    this.#guard = guard
    this.#received = new FrameFollower(isServer)
    this.#sent = new FrameFollower(!isServer, (errorCode) => {
      if (errorCode !== 0) this.#errorSent = errorCode
    })
    guard.ignoreErrors(this)
    guard.on(socket, 'data', (bytes: Buffer) => {
      this.#received.push(bytes)
      if (!this.push(bytes)) socket.pause()
    })
    let failure: Error | undefined
    guard.on(socket, 'error', (error: Error) => {
      failure = error
    })
    guard.once(socket, 'end', () => this.#endWhenRead())
    // A session that has given up reads no more; any other goes on once the write that was under way is over, a turn later.
    guard.once(socket, 'close', () => {
      this.#isClosed = true
      this.#endWhenRead()
      setImmediate(guard.wrap(() => this.#reportEnd()))
    })
    this.#afterWrite = guard.wrap(() => {
      if (this.#errorSent !== undefined) handler.connectionOnError(this.#errorSent)
    })
    let isReported = false
    this.#reportEnd = guard.wrap(() => {
      if (isReported) return
      isReported = true
      handler.connectionOnEnd(failure)
    })
  }

  /** Whether the peer has begun what it is to end soon. */
  get isInHead(): boolean {
    return this.#received.isInHead
  }

  override _read(): void {
    this.#socket.resume()
  }

  override read(size?: number): Buffer | null {
    const bytes = super.read(size)
    if (this.#isReadOver && this.readableLength === 0) process.nextTick(this.#reportEnd)
    return bytes
  }

  /**
   * There is no half-close in HTTP/2. At an end of its reading node's wrapper of streams shuts its other side down, and throws where
   * nothing catches it when nghttp2 still has something to write then: so no end is pushed.
   */
  #endWhenRead(): void {
    this.#isReadOver = true
    if (this.readableLength === 0) this.#reportEnd()
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
    if (!this.#socket.writable) {
      callback()
      return
    }
    this.#unwritten++
    for (const bytes of buffers) this.#sent.push(bytes)
    const onWritten = (error?: Error | null) => {
      this.#unwritten--
      callback(error)
      this.#afterWrite()
      if (this.#isLeaving) this.#leaveWhenQuiet(QUIET_TURNS)
    }
    this.#socket.cork()
    for (const [index, bytes] of buffers.entries()) {
      this.#socket.write(bytes, index === buffers.length - 1 ? onWritten : undefined)
    }
    this.#socket.uncork()
  }

  /** Destroys it when the answers that were on their way are out, with the end of each. */
  destroyAfterWrites(): void {
    if (this.#isLeaving) return
    this.#isLeaving = true
    this.#guard.once(
      this,
      'close',
      this.#guard.startDeadline(LAST_WRITES_MS, () => this.destroy()),
    )
    this.#leaveWhenQuiet(QUIET_TURNS)
  }

  #leaveWhenQuiet(turns: number): void {
    if (this.#unwritten > 0 && !this.#isClosed) return
    if (turns === 0 || this.#isClosed) this.destroy()
    else setImmediate(this.#guard.wrap(() => this.#leaveWhenQuiet(turns - 1)))
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#socket.end()
    callback()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#handler.connectionOnDestroy(error ?? undefined)
    this.#socket.destroySoon()
    callback(error)
  }
}
