// Lines on their way to a file descriptor, without the event loop waiting for the disk.
//
// Rules:
// - Lines are written in the order in which they came, in batches, one write at a time.
// - What waits is bounded. A line that finds no room, or that the disk does not take, is lost: that is counted, said once
//   when it begins and once when it is over, and never stops the traffic.
// - `reopen()` and `close()` come after every line that was given before them; `close()` does not wait for long.

import { closeSync, openSync, write } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Guard } from '../guard.js'

/** Some 20,000 lines: seconds of a busy gateway, and no burden to its memory. */
const MAX_WAITING_BYTES = 8 * 1_048_576
/** One write: large enough to be rare, small enough that a failing disk loses little. */
const MAX_BATCH_BYTES = 65_536
/** How long to wait for the reader of a pipe that is full. */
const FULL_PIPE_PAUSE_MS = 5
/** For what waits when it is closed. A reader that reads takes all of it in a tenth; supervisors kill 10 s after the signal. */
const CLOSE_TIMEOUT_MS = 2_000
/** After that, for a write to notice: one that the kernel holds does not. */
const LAST_WRITE_MS = 100

const writeSome = promisify(write)

/** Where the lines go: a descriptor that is there already, or a file that is appended to. */
export type LineTarget = { readonly descriptor: number } | { readonly file: string }

/** Writes lines in the background. */
export class LineWriter {
  readonly #target: LineTarget
  readonly #warn: (message: string) => void
  #descriptor: number
  #waiting: Buffer[] = []
  #waitingBytes = 0
  /** Lines of the batch that is being written. */
  #writing = 0
  #isGivenUp = false
  /** Everything that was begun, in order. */
  #work: Promise<void> = Promise.resolve()
  #isScheduled = false
  #isFailing = false
  /** A failed write left a part of a line behind. */
  #isTorn = false
  #lost = 0

  /** @throws the file system's error when the file cannot be opened */
  constructor(target: LineTarget, warn: (message: string) => void) {
    this.#target = target
    this.#warn = warn
    this.#descriptor = openTarget(target)
  }

  /** Lines lost so far. */
  get lost(): number {
    return this.#lost
  }

  /** Takes one line, with its newline. */
  write(line: string): void {
    const bytes = Buffer.from(line)
    if (this.#waitingBytes + bytes.length > MAX_WAITING_BYTES) {
      this.#lose(1, 'too much is waiting')
      return
    }
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
    if (this.#isScheduled) return
    this.#isScheduled = true
    void this.#after(() => this.#drain())
  }

  /** Opens the file anew, for a log rotation that moved it away. The old one stays in use when that fails. */
  reopen(): Promise<void> {
    return this.#after(() => {
      if (!('file' in this.#target)) return
      const opened = openTarget(this.#target)
      closeSync(this.#descriptor)
      this.#descriptor = opened
      this.#isTorn = false
    })
  }

  /** Writes what is waiting, as long as it is taken, and closes the file. What is left is lost. */
  async close(): Promise<void> {
    const lostBefore = this.#lost
    const closed = this.#after(() => {
      if ('file' in this.#target) closeSync(this.#descriptor)
    })
    if (await isDoneWithin(CLOSE_TIMEOUT_MS, closed)) return
    this.#isGivenUp = true
    if (!(await isDoneWithin(LAST_WRITE_MS, closed))) this.#lost += this.#writing + this.#waiting.length
    this.#warn(`audit lines that were not taken before the end: ${this.#lost - lostBefore}`)
  }

  #after(step: () => void | Promise<void>): Promise<void> {
    const done = this.#work.then(step)
    this.#work = done.catch(() => {})
    return done
  }

  async #drain(): Promise<void> {
    for (let batch = this.#takeBatch(); batch.length > 0; batch = this.#takeBatch()) await this.#writeBatch(batch)
    this.#isScheduled = false
  }

  #takeBatch(): Buffer[] {
    let bytes = 0
    const end = this.#waiting.findIndex((line) => {
      bytes += line.length
      return bytes > MAX_BATCH_BYTES
    })
    return this.#waiting.splice(0, end === -1 ? this.#waiting.length : Math.max(end, 1))
  }

  async #writeBatch(batch: readonly Buffer[]): Promise<void> {
    const lines = Buffer.concat(batch)
    const bytes = this.#isTorn ? Buffer.concat([Buffer.from('\n'), lines]) : lines
    let at = 0
    this.#writing = batch.length
    try {
      while (at < bytes.length) at += await this.#writeSome(bytes.subarray(at))
      this.#isTorn = false
      this.#recover()
    } catch (error) {
      const written = bytes.subarray(0, at)
      if (at > 0) this.#isTorn = written.at(-1) !== NEWLINE
      const whole = written.filter((byte) => byte === NEWLINE).length - (bytes === lines || at === 0 ? 0 : 1)
      this.#lose(batch.length - whole, (error as NodeJS.ErrnoException).code ?? 'error')
    }
    this.#writing = 0
    this.#waitingBytes -= lines.length
  }

  async #writeSome(bytes: Buffer): Promise<number> {
    try {
      return (await writeSome(this.#descriptor, bytes)).bytesWritten
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || this.#isGivenUp) throw error
      await delay(FULL_PIPE_PAUSE_MS)
      return 0
    }
  }

  #lose(lines: number, reason: string): void {
    this.#lost += lines
    if (this.#isFailing || lines === 0) return
    this.#isFailing = true
    this.#warn(`audit lines are being lost (${reason})`)
  }

  #recover(): void {
    if (!this.#isFailing) return
    this.#isFailing = false
    this.#warn(`the audit is being written again; ${this.#lost} lines were lost since the start`)
  }
}

const NEWLINE = 0x0a

function isDoneWithin(ms: number, work: Promise<void>): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const stopWaiting = new Guard(reject).startDeadline(ms, () => resolve(false))
    work.then(() => resolve(true), reject).finally(stopWaiting)
  })
}

function openTarget(target: LineTarget): number {
  return 'file' in target ? openSync(target.file, 'a', 0o600) : target.descriptor
}
