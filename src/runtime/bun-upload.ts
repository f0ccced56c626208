// The upload on Bun: payload is copied behind free room, framed where it lies, and written while it is still in the processor's
// cache. Bun reads up to 512 KiB at once, into memory without such room.

import { maxPayloadBytes } from '../protocol/chunk.js'
import type { FrameEncoder } from '../protocol/frame.js'
import type { Connection } from './runtime.js'

/** Two messages of the usual size. */
const SLICE_BYTES = 2 * maxPayloadBytes()

/** Shorter payload is wiped behind the write: the head with the credential is, and for more it would cost too much. */
const MAX_WIPED_BYTES = 4_096

/** Frames for all connections of a dialer. */
export class FrameWriter {
  readonly #encoder: FrameEncoder
  readonly #headroom: number
  readonly #memory: Buffer

  constructor(encoder: FrameEncoder) {
    this.#encoder = encoder
    this.#headroom = encoder.headroomFor(SLICE_BYTES)
    this.#memory = Buffer.allocUnsafeSlow(this.#headroom + SLICE_BYTES)
  }

  /** Writes `payload` in frames to a connection that keeps nothing of what it writes; as Connection.write(). */
  write(connection: Connection, payload: Uint8Array): boolean {
    let goesOn = true
    for (let at = 0; at < payload.length; at += SLICE_BYTES) {
      goesOn = this.#writeSlice(connection, payload.subarray(at, at + SLICE_BYTES))
    }
    return goesOn
  }

  #writeSlice(connection: Connection, slice: Uint8Array): boolean {
    this.#memory.set(slice, this.#headroom)
    const end = this.#headroom + slice.length
    const start = this.#headroom - this.#encoder.encode(this.#memory, this.#headroom, slice.length)
    const goesOn = connection.write(this.#memory.subarray(start, end))
    if (slice.length <= MAX_WIPED_BYTES) this.#memory.fill(0, start, end)
    return goesOn
  }
}
