// Chance that can be had again: the same seed, the same choices. For tests only.

export class SeededRandom {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
    // Seeds that are near each other begin alike.
    for (let round = 0; round < 4; round++) this.#next()
  }

  /** From 0, below 1. */
  fraction(): number {
    return this.#next() / 0x1_0000_0000
  }

  /** A whole number from 0, below `limit`. */
  below(limit: number): number {
    return Math.floor(this.fraction() * limit)
  }

  /** Whether something of this probability happens. */
  happens(probability: number): boolean {
    return this.fraction() < probability
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T
  }

  bytes(count: number): Buffer {
    return Buffer.from(Array.from({ length: count }, () => this.below(256)))
  }

  /** Splitmix, 32 bits. */
  #next(): number {
    this.#state = (this.#state + 0x9e37_79b9) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0_aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a_2d97)
    return (mixed ^ (mixed >>> 15)) >>> 0
  }
}
