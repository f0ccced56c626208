// The payload of a tunnel as one Duplex: chunks over a WebSocket on one side, plain bytes on the other.
//
// Rules:
// - Back-pressure goes through both ways: the socket is paused while the reader is behind, and a write is done only
//   when the kernel took its last message, so that no more than a write lies in memory.
// - Ending the stream flushes it and closes with 1000; the peer's close ends both sides. Destroying it with an error closes with
//   1011, or with the code of a ChunkStreamError.
// - Either side may end its direction alone, by a chunk that says so. Who does not know it skips it: so the tunnel is closed when
//   nothing comes from the peer for a while after our end.
// - The listeners are set once, none per message.
// - Nothing is heard of a peer whose socket is paused, not even that it has gone: so it is pinged now and then, which fails.

import { Duplex } from 'node:stream'
import { ChunkDecodeError, decodeChunk, END_CHUNK, encodeChunk, splitPayload } from 'ccr-upstream-proxy/protocol'
import type { RawData, WebSocket } from 'ws'
import { Guard } from '../guard.js'

/** Close codes (RFC 6455, section 7.4.1). */
const CLOSE_NORMAL = 1000
const CLOSE_PROTOCOL_ERROR = 1002
const CLOSE_UNSUPPORTED_DATA = 1003
const CLOSE_INVALID_PAYLOAD = 1007
export const CLOSE_POLICY_VIOLATION = 1008
const CLOSE_INTERNAL_ERROR = 1011

/** Codes after which what was received is whole: normal, going away, none given. */
const CLEAN_CLOSE_CODES: ReadonlySet<number> = new Set([CLOSE_NORMAL, 1001, 1005])

/** Two messages: one on its way, one ready. */
const HIGH_WATER_MARK_BYTES = 65_536

/** How long a paused peer may be gone at most, twice: the first ping is answered by a reset, the next one meets it. */
const PAUSED_PING_MS = 30_000

/** How long the peer may say nothing after our end: as long as a client gets to close after a FIN. */
const QUIET_AFTER_END_MS = 5_000

/** The wire failed, or is to be closed with this code. */
export class ChunkStreamError extends Error {
  override readonly name: string = 'ChunkStreamError'
  readonly closeCode: number

  constructor(message: string, closeCode: number) {
    super(message)
    this.closeCode = closeCode
  }
}

/** A listener has thrown: our own mistake, which ends this tunnel and no other. */
export class DefectError extends ChunkStreamError {
  constructor() {
    super('the gateway failed', CLOSE_INTERNAL_ERROR)
  }
}

/** The bytes of one tunnel. The WebSocket must be open. Emits `defect` with what a listener threw, also after its end. */
export class ChunkStream extends Duplex {
  readonly #socket: WebSocket
  readonly #pausedPingMs: number
  #stopPinging: (() => void) | undefined
  #stopWaiting: (() => void) | undefined
  /** Whether the peer has said that it sends no more. */
  #hasPeerEnded = false
  /** Whether the peer may go on after our end. */
  #endsAlone = false
  /** Since the last look, after our end. */
  #hasHeard = false
  /** For every listener of this tunnel. */
  readonly guard = new Guard((thrown) => this.fail(thrown))

  constructor(socket: WebSocket, pausedPingMs = PAUSED_PING_MS) {
    super({ allowHalfOpen: true, highWaterMark: HIGH_WATER_MARK_BYTES })
    this.#socket = socket
    this.#pausedPingMs = pausedPingMs
    // What reads the stream runs within these: the TLS and the HTTP of the client's bytes.
    this.guard.on(socket, 'message', (data: RawData, isBinary: boolean) => this.#onMessage(data, isBinary))
    this.guard.on(socket, 'close', (code: number) => this.#onClose(code))
    // ws closes the connection by itself after an error, with the right code.
    this.guard.on(socket, 'error', (error: Error) => this.destroy(error))
  }

  /** Ends the tunnel for something that should not have happened. */
  fail(thrown: unknown): void {
    this.emit('defect', thrown)
    this.destroy(new DefectError())
  }

  /** Ends this direction alone, after all that was written; the peer's goes on until it ends too. */
  endSending(): void {
    this.#endsAlone = true
    this.end()
  }

  #onMessage(data: RawData, isBinary: boolean): void {
    if (this.destroyed) return
    if (this.#hasPeerEnded) {
      this.destroy(new ChunkStreamError('a message arrived after its end', CLOSE_PROTOCOL_ERROR))
      return
    }
    this.#hasHeard = true
    if (!isBinary) {
      this.destroy(new ChunkStreamError('a text message arrived', CLOSE_UNSUPPORTED_DATA))
      return
    }
    try {
      // binaryType is 'nodebuffer', ws's default.
      const { payloads, isEnd } = decodeChunk(data as Buffer)
      for (const payload of payloads) this.#deliver(payload)
      if (isEnd) this.#onPeerEnd()
    } catch (error) {
      if (!(error instanceof ChunkDecodeError)) throw error
      this.destroy(new ChunkStreamError(error.message, CLOSE_INVALID_PAYLOAD))
    }
  }

  #onPeerEnd(): void {
    this.#hasPeerEnded = true
    this.push(null)
  }

  #deliver(payload: Uint8Array): void {
    if (this.push(payload)) return
    this.#socket.pause()
    this.#pingWhilePaused()
  }

  /** One timer for any number of pauses: a fast upload has one for every other message. */
  #pingWhilePaused(): void {
    this.#stopPinging ??= this.guard.startDeadline(this.#pausedPingMs, () => {
      this.#stopPinging = undefined
      if (this.destroyed || !this.#socket.isPaused) return
      this.#socket.ping(undefined, undefined, ignoreError)
      this.#pingWhilePaused()
    })
  }

  #onClose(code: number): void {
    if (this.destroyed) return
    if (!CLEAN_CLOSE_CODES.has(code)) {
      this.destroy(new ChunkStreamError(`the WebSocket was closed with ${code}`, CLOSE_INTERNAL_ERROR))
      return
    }
    if (!this.#hasPeerEnded) this.push(null)
    // We closed first, all is said: nobody has to read on for the stream to go. After our end alone the peer still had its say.
    if (this.writableFinished && !this.#endsAlone) this.destroy()
    else if (this.readableEnded) this.end()
    else this.allowHalfOpen = false
  }

  override _read(): void {
    if (this.#socket.isPaused) this.#socket.resume()
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.guard.wrap(() => this.#send([bytes], callback))()
  }

  override _writev(writes: { chunk: Buffer }[], callback: (error?: Error | null) => void): void {
    const buffers = writes.map(({ chunk }) => chunk)
    this.guard.wrap(() => this.#send(buffers, callback))()
  }

  /** ws calls back in order, when the socket has written; the first failure is the one that counts. */
  #send(buffers: readonly Buffer[], callback: (error?: Error | null) => void): void {
    if (this.#socket.readyState !== this.#socket.OPEN) {
      callback(new ChunkStreamError('the WebSocket is closed', CLOSE_INTERNAL_ERROR))
      return
    }
    const messages = buffers.flatMap((bytes) => [...splitPayload(bytes)])
    if (messages.length === 0) callback()
    for (const [index, payload] of messages.entries()) {
      const isLast = index === messages.length - 1
      this.#socket.send(encodeChunk(payload), isLast ? callback : ignoreError)
    }
  }

  override _final(callback: (error?: Error | null) => void): void {
    if (this.#endsAlone && !this.#hasPeerEnded && this.#socket.readyState === this.#socket.OPEN) {
      this.#socket.send(END_CHUNK, callback)
      this.#waitForPeer()
      return
    }
    this.#close(CLOSE_NORMAL)
    callback()
  }

  #waitForPeer(): void {
    this.#hasHeard = false
    this.#stopWaiting = this.guard.startDeadline(QUIET_AFTER_END_MS, () => {
      if (this.#hasHeard || this.#socket.isPaused || this.readableLength > 0) this.#waitForPeer()
      else this.destroy()
    })
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#stopPinging?.()
    this.#stopWaiting?.()
    this.#close(closeCodeFor(error))
    callback(error)
  }

  #close(code: number): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return
    this.#socket.close(code)
    // The peer's own close frame has to be read, or the connection would linger until ws's close timeout.
    this.#socket.resume()
  }
}

function closeCodeFor(error: Error | null): number {
  if (error === null) return CLOSE_NORMAL
  return error instanceof ChunkStreamError ? error.closeCode : CLOSE_INTERNAL_ERROR
}

/** The last message of a write reports for all of them, and the socket for a ping. */
function ignoreError(): void {}
