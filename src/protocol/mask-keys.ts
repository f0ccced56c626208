// The keys that client frames are masked with: four bytes each, fresh and unpredictable for every frame (RFC 6455,
// section 5.3), from a pool that the system's random source fills, so that a frame costs no system call.
//
// Rules: no key is zero, which would put the payload on the wire as it is, and none is like the one before it.

import { randomFillSync } from 'node:crypto'

export const MASK_KEY_BYTES = 4

/** Enough keys for 64 MiB in messages of the usual size. */
const POOL_BYTES = 8_192

/** Hands out keys that lie one behind the other in `bytes`. */
export class MaskKeys {
  readonly #fill: (bytes: Uint8Array) => void
  #bytes = new Uint8Array(POOL_BYTES)
  #at = 0
  #end = 0
  #previous = 0

  /** `fill` overwrites all of an array with random bytes. */
  constructor(fill: (bytes: Uint8Array) => void = randomFillSync) {
    this.#fill = fill
  }

  /** The array in which the keys of the last `take()` are. */
  get bytes(): Uint8Array {
    return this.#bytes
  }

  /** Takes `count` keys: the offset of the first in `bytes`. They stay there until the next call. */
  take(count: number): number {
    const length = count * MASK_KEY_BYTES
    if (this.#end - this.#at < length) this.#refill(length)
    const offset = this.#at
    this.#at += length
    return offset
  }

  /** Until there are `length` bytes of keys. What is left of the old ones is not used any more. */
  #refill(length: number): void {
    if (this.#at > 0) this.#previous = readMaskKey(this.#bytes, this.#at - MASK_KEY_BYTES)
    if (this.#bytes.length < length) this.#bytes = new Uint8Array(length)
    this.#at = 0
    this.#end = 0
    while (this.#end < length) this.#end = this.#fillFrom(this.#end)
  }

  /** Fills the pool behind `start` and closes the gaps of keys that must not be: where the keys end. */
  #fillFrom(start: number): number {
    const bytes = this.#bytes
    this.#fill(bytes.subarray(start))
    let end = start
    for (let at = start; at + MASK_KEY_BYTES <= bytes.length; at += MASK_KEY_BYTES) {
      const key = readMaskKey(bytes, at)
      if (key === 0 || key === this.#previous) continue
      bytes.copyWithin(end, at, at + MASK_KEY_BYTES)
      end += MASK_KEY_BYTES
      this.#previous = key
    }
    return end
  }
}

/** A key as a number whose lowest byte masks the first byte. */
export function readMaskKey(keys: Uint8Array, at: number): number {
  return byteAt(keys, at) | (byteAt(keys, at + 1) << 8) | (byteAt(keys, at + 2) << 16) | (byteAt(keys, at + 3) << 24)
}

function byteAt(bytes: Uint8Array, at: number): number {
  return bytes[at] as number
}
