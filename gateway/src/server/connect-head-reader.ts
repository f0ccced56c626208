// Waits on a WebSocket for a CONNECT head, which may be long in coming, and reads it, for which there is little time.

import { type ConnectHead, ConnectHeadParser } from 'ccr-upstream-proxy/protocol'
import { Refusal } from '../refusal.js'
import type { ChunkStream } from './chunk-stream.js'

export interface ConnectHeadLimits {
  /** Until the first byte. */
  readonly connectWaitMs: number
  /** From the first byte to the last. */
  readonly connectHeadTimeoutMs: number
}

/** How long a gateway that is being closed waits for a CONNECT that may be on its way: a round trip and more. */
const LAST_WAIT_MS = 1_000

/** When the first byte came, by either clock of the machine. */
export interface Arrival {
  readonly date: Date
  readonly monotonicMs: number
}

export class ConnectHeadReader {
  /**
   * Undefined when the client left first, or did not begin: that is not answered, for a relay that is just beginning takes a
   * silent end for what it is and asks again. Rejects with a refusal.
   */
  readonly head: Promise<ConnectHead | undefined>
  readonly #stream: ChunkStream
  readonly #limits: ConnectHeadLimits
  readonly #parser = new ConnectHeadParser()
  readonly #stopListening: readonly (() => void)[]
  readonly #onGone = () => this.#settle(undefined)
  #settle: (head: ConnectHead | Refusal | undefined) => void = () => {}
  #stopWaiting: () => void
  #arrival: Arrival | undefined

  constructor(stream: ChunkStream, limits: ConnectHeadLimits) {
    this.#stream = stream
    this.#limits = limits
    this.#stopWaiting = stream.guard.startDeadline(limits.connectWaitMs, this.#onGone)
    this.head = new Promise((resolve, reject) => {
      this.#settle = (head) => {
        this.#stop()
        if (head instanceof Refusal) reject(head)
        else resolve(head)
      }
    })
    this.#stopListening = [
      stream.guard.on(stream, 'data', (bytes: Buffer) => this.#read(bytes)),
      stream.guard.once(stream, 'close', this.#onGone),
      stream.guard.once(stream, 'end', this.#onGone),
    ]
  }

  get arrival(): Arrival | undefined {
    return this.#arrival
  }

  /** The gateway is being closed: what has not begun has to begin soon. */
  hurry(): void {
    if (this.#arrival !== undefined) return
    this.#waitFor(Math.min(LAST_WAIT_MS, this.#limits.connectWaitMs), undefined)
  }

  #read(bytes: Buffer): void {
    if (this.#arrival === undefined) this.#begin()
    const verdict = this.#parser.push(bytes)
    switch (verdict.kind) {
      case 'incomplete':
        return
      case 'refused':
        this.#settle(new Refusal(verdict.refusal, verdict.detail))
        return
      default:
        this.#settle(verdict)
        if (verdict.rest.length > 0) this.#stream.unshift(verdict.rest)
    }
  }

  #begin(): void {
    this.#arrival = { date: new Date(), monotonicMs: performance.now() }
    const { connectHeadTimeoutMs } = this.#limits
    const late = new Refusal('head-timeout', `no whole CONNECT head within ${connectHeadTimeoutMs} ms`)
    this.#waitFor(connectHeadTimeoutMs, late)
  }

  #waitFor(limitMs: number, late: Refusal | undefined): void {
    this.#stopWaiting()
    this.#stopWaiting = this.#stream.guard.startDeadline(limitMs, () => this.#settle(late))
  }

  #stop(): void {
    this.#stopWaiting()
    for (const stop of this.#stopListening) stop()
    this.#stream.pause()
  }
}
