// The HTTP/1.1 connection of an intercepted client: what its requests, which may be pipelined, have in common.

import type { Duplex } from 'node:stream'

export class Http1Connection {
  /** Ends the tunnel in a way that no client takes for a clean end. */
  readonly abortTunnel: () => void
  #isLastTaken = false
  #isClosed = false
  readonly #onClose = new Set<() => void>()

  constructor(socket: Duplex, abortTunnel: () => void) {
    this.abortTunnel = abortTunnel
    socket.once('close', () => {
      this.#isClosed = true
      for (const listener of this.#onClose) listener()
      this.#onClose.clear()
    })
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Whether no more requests are served: one was refused, or asked for the end. What node still parses is for nobody. */
  get isLastTaken(): boolean {
    return this.#isLastTaken
  }

  takeNoMore(): void {
    this.#isLastTaken = true
  }

  /** Calls back once at the close. A response whose turn never came hears nothing of it otherwise. */
  onClose(listener: () => void): () => void {
    this.#onClose.add(listener)
    return () => this.#onClose.delete(listener)
  }
}
