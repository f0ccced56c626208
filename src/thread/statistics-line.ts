// Both ends of the one question that is not waited for by events: stats() is synchronous, and exact all the same. The program's
// thread sleeps until the relay's has answered, which takes some 20 µs.

import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import type { RelayStatistics } from '../relay/monitor.js'

/** Milliseconds that the program waits. The relay answers within one turn of its event loop. */
const TIMEOUT_MS = 1_000

/** The relay's end, as it goes over; `port` has to be transferred. */
export interface StatisticsLineEnd {
  readonly port: MessagePort
  /** The number of the last question that was answered, one Int32. */
  readonly answered: SharedArrayBuffer
}

interface Answer {
  readonly question: number
  readonly statistics: RelayStatistics | undefined
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

  /** The figures of now; undefined when none came in time. */
  ask(): RelayStatistics | undefined {
    const question = ++this.#questions
    this.#port.postMessage(question)
    const deadline = performance.now() + TIMEOUT_MS
    for (;;) {
      const seen = Atomics.load(this.#answered, 0)
      if (seen === question) return this.#receive(question)
      const left = deadline - performance.now()
      if (left <= 0) return undefined
      Atomics.wait(this.#answered, 0, seen, left)
    }
  }

  close(): void {
    this.#port.close()
  }

  /** Answers that came too late for their own question lie before it. */
  #receive(question: number): RelayStatistics | undefined {
    for (;;) {
      const received = receiveMessageOnPort(this.#port) as { message: Answer } | undefined
      if (received === undefined || received.message.question === question) return received?.message.statistics
    }
  }
}

/** Answers at the relay's end. */
export function answerStatistics({ port, answered }: StatisticsLineEnd, read: () => RelayStatistics | undefined): void {
  const last = new Int32Array(answered)
  port.on('message', (question: number) => {
    port.postMessage({ question, statistics: read() } satisfies Answer)
    Atomics.store(last, 0, question)
    Atomics.notify(last, 0)
  })
}
