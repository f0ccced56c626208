// The upload on Node: what a client sends is read into memory with room in front of it, framed where it lies, and written
// with one call.
//
// Rule: a buffer belongs to the reader until a frame writer takes it, and comes back to the pool when the system has it.

import type { Socket } from 'node:net'
import { maxPayloadBytes } from '../protocol/chunk.js'
import type { FrameEncoder } from '../protocol/frame.js'

/** Two messages of the usual size in one read: as much as libuv reads at once. */
const PAYLOAD_BYTES = 2 * maxPayloadBytes()
/** Room for the headers of messages that are not much smaller than usual; with smaller ones there is a copy. */
const HEADROOM_BYTES = 64
/** Buffers that are kept for later, 8 MiB in all; more are left to the garbage collector. */
const MAX_IDLE_BUFFERS = 128

/** Memory for one read. */
export interface UploadBuffer {
  readonly memory: Buffer
  /** What is read into. */
  readonly payload: Buffer
  /** Whether a writer has taken it and the system does not have it yet. */
  isTaken: boolean
}

/** Buffers of all tunnels of a relay. */
export class UploadPool {
  readonly #idle: UploadBuffer[] = []
  readonly #byMemory = new WeakMap<ArrayBufferLike, UploadBuffer>()

  acquire(): UploadBuffer {
    const kept = this.#idle.pop()
    if (kept !== undefined) return kept
    const memory = Buffer.allocUnsafeSlow(HEADROOM_BYTES + PAYLOAD_BYTES)
    const buffer = { memory, payload: memory.subarray(HEADROOM_BYTES), isTaken: false }
    this.#byMemory.set(memory.buffer, buffer)
    return buffer
  }

  /** The buffer that `bytes` lie in; undefined when it is none of ours. */
  find(bytes: Uint8Array): UploadBuffer | undefined {
    return this.#byMemory.get(bytes.buffer)
  }

  release(buffer: UploadBuffer): void {
    buffer.isTaken = false
    if (this.#idle.length < MAX_IDLE_BUFFERS) this.#idle.push(buffer)
  }
}

/** The pool that readers and writers of this process share: a buffer goes from a client's reader to a gateway's writer. */
export const uploadPool = new UploadPool()

/** Writes payloads to one WebSocket. */
export class FrameWriter {
  readonly #socket: Socket
  readonly #encoder: FrameEncoder
  readonly #onWritten: () => void
  /** What the system does not have yet, in order; undefined for memory that is nobody's. */
  readonly #inFlight: (UploadBuffer | undefined)[] = []

  /** @param onWritten called whenever the system has taken something */
  constructor(socket: Socket, encoder: FrameEncoder, onWritten: () => void) {
    this.#socket = socket
    this.#encoder = encoder
    this.#onWritten = onWritten
  }

  /** Sends `payload`; what lies in a buffer of the pool is taken, anything else is copied. */
  send(payload: Uint8Array): void {
    if (payload.length === 0) return
    const headroom = this.#encoder.headroomFor(payload.length)
    const buffer = headroom <= HEADROOM_BYTES ? uploadPool.find(payload) : undefined
    const memory = buffer?.memory ?? copyBehind(headroom, payload)
    const offset = buffer === undefined ? headroom : payload.byteOffset - memory.byteOffset
    const start = offset - this.#encoder.encode(memory, offset, payload.length)
    if (buffer !== undefined) buffer.isTaken = true
    this.#inFlight.push(buffer)
    this.#socket.write(memory.subarray(start, offset + payload.length), this.#afterWrite)
  }

  readonly #afterWrite = (): void => {
    const buffer = this.#inFlight.shift()
    if (buffer !== undefined) uploadPool.release(buffer)
    this.#onWritten()
  }
}

function copyBehind(headroom: number, payload: Uint8Array): Buffer {
  const memory = Buffer.allocUnsafe(headroom + payload.length)
  memory.set(payload, headroom)
  return memory
}
