// Bytes that come in piece by piece, for one reader at a time: a given count, everything up to a text, or everything to
// the end.
// A large stream is hashed instead of kept.

import { createHash } from 'node:crypto'
import type { Digest } from './deterministic-bytes.js'

export class ByteInbox {
  #pieces: Buffer[] = []
  #length = 0
  #total = 0
  #end: string | undefined
  #waiting: Array<() => void> = []
  #onBytes: ((bytes: Buffer) => void) | undefined

  /** Bytes that came in since the start. */
  get total(): number {
    return this.#total
  }

  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.#total += bytes.length
    const take = this.#onBytes ?? this.#keep
    take(bytes as Buffer)
    this.#wake()
  }

  /** @param how word for how the stream ended; it stands in the errors of readers that wait for more */
  end(how: string): void {
    this.#end ??= how
    this.#wake()
  }

  /** The next `count` bytes. */
  async take(count: number): Promise<Buffer> {
    while (this.#length < count) await this.#more(`${count} bytes`)
    return this.#cut(count)
  }

  /** Everything up to `text`, and `text`. */
  async takeUntil(text: string): Promise<string> {
    for (;;) {
      const bytes = this.#join()
      const at = bytes.indexOf(text, 0, 'latin1')
      if (at >= 0) return this.#cut(at + text.length).toString('latin1')
      await this.#more(JSON.stringify(text))
    }
  }

  /** Waits until `count` bytes have come in since the start, without taking any. */
  async reached(count: number): Promise<void> {
    while (this.#total < count) await this.#more(`${count} bytes in all`)
  }

  /** What is there of the next `count` bytes; none is taken. */
  peek(count: number): Buffer {
    return this.#join().subarray(0, count)
  }

  /** Everything to the end of the stream. */
  async rest(): Promise<Buffer> {
    while (this.#end === undefined) await this.#more('the end')
    return this.#cut(this.#length)
  }

  /** Hashes the next `count` bytes, or everything to the end; they are not kept. */
  async digest(count = Number.POSITIVE_INFINITY): Promise<Digest> {
    const hash = createHash('sha256')
    let bytes = 0
    const take = (piece: Buffer): void => {
      const mine = piece.subarray(0, count - bytes)
      hash.update(mine)
      bytes += mine.length
      if (mine.length < piece.length) this.#keep(piece.subarray(mine.length))
    }
    const waiting = this.#cut(this.#length)
    this.#onBytes = take
    if (waiting.length > 0) take(waiting)
    while (bytes < count && this.#end === undefined) await this.#more(`${count} bytes`)
    this.#onBytes = undefined
    return { bytes, sha256: hash.digest('hex') }
  }

  readonly #keep = (piece: Buffer): void => {
    this.#pieces.push(piece)
    this.#length += piece.length
  }

  #join(): Buffer {
    if (this.#pieces.length !== 1) this.#pieces = [Buffer.concat(this.#pieces)]
    return this.#pieces[0] as Buffer
  }

  #cut(count: number): Buffer {
    const bytes = this.#join()
    this.#pieces = count < bytes.length ? [bytes.subarray(count)] : []
    this.#length -= count
    return bytes.subarray(0, count)
  }

  async #more(what: string): Promise<void> {
    if (this.#end !== undefined) {
      const seen = this.#join().subarray(0, 200).toString('latin1')
      throw new Error(`the stream ended (${this.#end}) before ${what} came; ${this.#length} are left: ${seen}`)
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}
