// Clients that make work without asking for anything: streams that are opened and reset at once (CVE-2023-44487), pings and
// settings without end. nghttp2 bounds what it queues for them, not how often they come. They are judged against the useful
// work that the connection does: gRPC measures its bandwidth by a ping for each read of a busy stream.

import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { Guard } from '../../guard.js'
import type { Exchanges } from '../exchanges.js'

/** Given for nothing in each window. */
const WINDOW_MS = 10_000
/** Browsers cancel a page's worth of streams at once, some hundreds; an attack is tens of thousands. */
const MAX_RESETS = 1_000
/** A ping for each second of every stream would still be below it. */
const MAX_CONTROL_FRAMES = 1_000

/** Ends `session` with ENHANCE_YOUR_CALM when it does more of these than it has requests and bodies to show for them. */
export function guardAgainstFloods(session: ServerHttp2Session, exchanges: Exchanges, guard: Guard): void {
  const resets = new AbuseCounter(MAX_RESETS, () => exchanges.answered)
  const controlFrames = new AbuseCounter(MAX_CONTROL_FRAMES, () => exchanges.moved)
  const end = () => {
    if (session.destroyed) return
    exchanges.abort('client-flood')
    // Without an error node takes the code for none.
    session.destroy(new Error('flood'), constants.NGHTTP2_ENHANCE_YOUR_CALM)
  }
  const countControlFrame = () => {
    if (controlFrames.isExceeded()) end()
  }
  guard.on(session, 'stream', (stream: ServerHttp2Stream) => {
    guard.once(stream, 'aborted', () => {
      if (resets.isExceeded()) end()
    })
  })
  guard.on(session, 'ping', countControlFrame)
  guard.on(session, 'remoteSettings', countControlFrame)
}

/** Counts in windows of fixed length what no work stands against. */
class AbuseCounter {
  readonly #max: number
  readonly #work: () => number
  #worked: number
  #count = 0
  #windowEnds = 0

  /** @param work a count of useful work that only grows */
  constructor(max: number, work: () => number) {
    this.#max = max
    this.#work = work
    this.#worked = work()
  }

  /** Counts one more. */
  isExceeded(): boolean {
    const now = performance.now()
    if (now >= this.#windowEnds) {
      this.#windowEnds = now + WINDOW_MS
      this.#count = 0
    }
    const worked = this.#work()
    this.#count = Math.max(0, this.#count - (worked - this.#worked)) + 1
    this.#worked = worked
    return this.#count > this.#max
  }
}
