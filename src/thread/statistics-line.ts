// Both ends of the one question that is not waited for by events: stats() is synchronous, and exact where it can be. The program's
// thread sleeps until the relay's has answered, which takes some 20 µs, or a turn of its event loop while bytes move. It does
// not sleep for long: a program that asks for figures is not to be held up by the relay.

import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import type { RelayStatistics } from '../relay/monitor.js'

/** Milliseconds that the program waits at most: more than a thread mostly waits for its turn on a busy machine. */
const TIMEOUT_MS = 100

/** The relay's end, as it goes over; `port` has to be transferred. */
export interface StatisticsLineEnd {
  readonly port: MessagePort
  /** The number of the last question that was answered, one Int32. */
  readonly answered: SharedArrayBuffer
}

/** The program's end. */
export class StatisticsLine {
  /** For the relay's thread. */
  readonly end: StatisticsLineEnd
  readonly #port: MessagePort
  readonly #answered = new Int32Array(new SharedArrayBuffer(4))
  #questions = 0

  constructor() {
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    this.end = { port: port2, answered: this.#answered.buffer as SharedArrayBuffer }
  }

  /** The figures of now, or the latest that came where those did not come in time; undefined when none have come since. */
  ask(): RelayStatistics | undefined {
    const question = ++this.#questions
    this.#port.postMessage(question)
    const deadline = performance.now() + TIMEOUT_MS
    for (;;) {
      const seen = Atomics.load(this.#answered, 0)
      const left = deadline - performance.now()
      if (seen === question || left <= 0) return this.#receiveLatest()
      Atomics.wait(this.#answered, 0, seen, left)
    }
  }

  close(): void {
    this.#port.close()
  }

  /** Answers that came too late for their own question lie before the last. */
  #receiveLatest(): RelayStatistics | undefined {
    let latest: RelayStatistics | undefined
    for (;;) {
      const received = receiveMessageOnPort(this.#port) as { message: { statistics: RelayStatistics } } | undefined
      if (received === undefined) return latest
      latest = received.message.statistics
    }
  }
}

/** Answers at the relay's end. */
export function answerStatistics({ port, answered }: StatisticsLineEnd, read: () => RelayStatistics | undefined): void {
  const last = new Int32Array(answered)
  port.on('message', (question: number) => {
    port.postMessage({ statistics: read() })
    Atomics.store(last, 0, question)
    Atomics.notify(last, 0)
  })
}
