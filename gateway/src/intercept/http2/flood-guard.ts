// Clients that make work without asking for anything: streams that are opened and reset at once (CVE-2023-44487), pings
// and settings without end. nghttp2 bounds what it queues for them, not how often they come.

import { constants, type ServerHttp2Session } from 'node:http2'

const WINDOW_MS = 10_000
/** Browsers cancel a page's worth of streams at once, some hundreds; an attack is tens of thousands. */
const MAX_RESETS = 1_000
/** A ping for each second of every stream would still be below it. */
const MAX_CONTROL_FRAMES = 1_000

/** Ends `session` with ENHANCE_YOUR_CALM when it does more of these in ten seconds than any client does. */
export function guardAgainstFloods(session: ServerHttp2Session): void {
  const resets = new RateCounter(MAX_RESETS)
  const controlFrames = new RateCounter(MAX_CONTROL_FRAMES)
  const end = () => {
    // Without an error node takes the code for none.
    if (!session.destroyed) session.destroy(new Error('flood'), constants.NGHTTP2_ENHANCE_YOUR_CALM)
  }
  session.on('stream', (stream) => {
    stream.once('aborted', () => {
      if (resets.isExceeded()) end()
    })
  })
  const onControlFrame = () => {
    if (controlFrames.isExceeded()) end()
  }
  session.on('ping', onControlFrame)
  session.on('remoteSettings', onControlFrame)
}

/** Counts in windows of fixed length. */
class RateCounter {
  readonly #max: number
  #count = 0
  #windowEnds = 0

  constructor(max: number) {
    this.#max = max
  }

  /** Counts one more. */
  isExceeded(): boolean {
    const now = Date.now()
    if (now >= this.#windowEnds) {
      this.#windowEnds = now + WINDOW_MS
      this.#count = 0
    }
    this.#count++
    return this.#count > this.#max
  }
}
