// Lines appended to a file without the event loop waiting for the disk.
//
// Rules:
// - Lines are written in the order in which they came, in batches, one write at a time.
// - What waits is bounded. A line that finds no room, or that the disk does not take, is lost: that is counted, told once, and
//   stops nothing.
// - The last part of the path is no symbolic link: whoever can write the folder must not choose another file.
// - When the path leads elsewhere or nowhere, somebody has rotated the log: the next lines go to a new file. Where that cannot
//   be opened, they go on in the old one, as long as that has a name.

import { close, closeSync, constants, fstat, lstat, open, openSync, type Stats, write } from 'node:fs'
import { promisify } from 'node:util'
import { systemCode } from '../errors.js'

/** Some 4,000 lines: more than all tunnels that a relay may have open. */
const MAX_WAITING_BYTES = 2 * 1_048_576

/** A named pipe without a reader is an error instead of a wait. */
const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants
const APPEND = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK

/** How long lines may still go into a file that was moved away. */
const ROTATION_CHECK_INTERVAL_MS = 1_000

const writeSome = promisify(write)
const openFile = promisify(open)
const closeFile = promisify(close)
const statDescriptor = promisify(fstat)
const statPath = promisify(lstat)

export class LineFile {
  readonly #path: string
  #descriptor: number
  /** When the path was last seen to lead to the descriptor, by performance.now(). */
  #checkedAt = performance.now()
  readonly #onFirstLoss: (reason: string) => void
  #waiting: string[] = []
  #waitingBytes = 0
  #writing: Promise<void> | undefined
  #isClosed = false
  /** A failed write left a part of a line behind. */
  #isTorn = false
  #written = 0
  #lost = 0

  /**
   * Opens `path`, for its owner alone where it is new.
   * @param onFirstLoss is told why, once
   * @throws the file system's error
   */
  constructor(path: string, onFirstLoss: (reason: string) => void) {
    this.#path = path
    this.#descriptor = openSync(path, APPEND, 0o600)
    this.#onFirstLoss = onFirstLoss
  }

  /** Lines so far. */
  get counts(): { readonly written: number; readonly lost: number } {
    return { written: this.#written, lost: this.#lost }
  }

  /** Takes a line without its newline. */
  append(line: string): void {
    if (this.#isClosed || this.#waitingBytes + line.length > MAX_WAITING_BYTES) {
      this.#lose(1, this.#isClosed ? 'it is closed' : 'too much is waiting')
      return
    }
    this.#waiting.push(`${line}\n`)
    this.#waitingBytes += line.length
    this.#writing ??= this.#drain()
  }

  /** Writes what is waiting, and closes the file; once. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#writing
    try {
      closeSync(this.#descriptor)
    } catch (error) {
      // NFS and quotas say only now that something did not reach the disk: close(2). How many lines, nobody knows.
      this.#lose(1, systemCode(error))
    }
  }

  async #drain(): Promise<void> {
    // What comes in the same turn goes out in the same write.
    await Promise.resolve()
    while (this.#waiting.length > 0) await this.#writeBatch(this.#waiting.splice(0))
    this.#writing = undefined
  }

  async #writeBatch(lines: readonly string[]): Promise<void> {
    const text = lines.join('')
    let bytes = Buffer.alloc(0)
    let at = 0
    try {
      await this.#followRotation()
      bytes = Buffer.from(this.#isTorn ? `\n${text}` : text)
      while (at < bytes.length) at += (await writeSome(this.#descriptor, bytes, at)).bytesWritten
      this.#isTorn = false
      this.#written += lines.length
    } catch (error) {
      if (at > 0) this.#isTorn = bytes[at - 1] !== NEWLINE
      const whole = countLines(bytes.subarray(bytes[0] === NEWLINE ? 1 : 0, at))
      this.#written += whole
      this.#lose(lines.length - whole, systemCode(error))
    }
    this.#waitingBytes -= text.length - lines.length
  }

  /** @throws the file system's error when lines would go into a file that nobody can find */
  async #followRotation(): Promise<void> {
    if (performance.now() - this.#checkedAt < ROTATION_CHECK_INTERVAL_MS) return
    const current = await statDescriptor(this.#descriptor)
    if (!isSameFile(current, await statPath(this.#path).catch(() => undefined))) {
      try {
        await this.#reopen()
      } catch (error) {
        if (current.nlink === 0) throw error
      }
    }
    this.#checkedAt = performance.now()
  }

  async #reopen(): Promise<void> {
    const old = this.#descriptor
    this.#descriptor = await openFile(this.#path, APPEND, 0o600)
    // A part of a line stays in the file that has it.
    this.#isTorn = false
    await closeFile(old)
  }

  #lose(lines: number, reason: string): void {
    if (lines > 0 && this.#lost === 0) this.#onFirstLoss(reason)
    this.#lost += lines
  }
}

function isSameFile(one: Stats, other: Stats | undefined): boolean {
  return one.ino === other?.ino && one.dev === other.dev
}

const NEWLINE = 0x0a

function countLines(bytes: Uint8Array): number {
  return bytes.filter((byte) => byte === NEWLINE).length
}
