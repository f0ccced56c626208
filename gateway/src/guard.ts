// What a listener throws ends what it belongs to, a dial, a request or a tunnel, never the process: in the gateway no listener
// is added, and no time is limited, but through a guard.

import type { EventEmitter } from 'node:events'
import { startDeadline } from 'ccr-upstream-proxy/deadline'

type Listener<A extends unknown[]> = (...args: A) => void

export class Guard {
  readonly #onDefect: (thrown: unknown) => void

  /** @param onDefect takes what a listener threw */
  constructor(onDefect: (thrown: unknown) => void) {
    this.#onDefect = onDefect
  }

  /** The listener, and what it throws goes to `onDefect`. */
  wrap<A extends unknown[]>(listener: Listener<A>): Listener<A> {
    return (...args) => {
      try {
        listener(...args)
      } catch (thrown) {
        this.#onDefect(thrown)
      }
    }
  }

  /** Adds a listener; the function takes it off again. */
  on<A extends unknown[]>(emitter: EventEmitter, event: string, listener: Listener<A>): () => void {
    const guarded = this.wrap(listener) as Listener<unknown[]>
    emitter.on(event, guarded)
    return () => emitter.off(event, guarded)
  }

  once<A extends unknown[]>(emitter: EventEmitter, event: string, listener: Listener<A>): () => void {
    const guarded = this.wrap(listener) as Listener<unknown[]>
    emitter.once(event, guarded)
    return () => emitter.off(event, guarded)
  }

  /** Calls when `signal` aborts, not when it has; the function stops that. */
  onAbort(signal: AbortSignal, listener: () => void): () => void {
    const guarded = this.wrap(listener)
    signal.addEventListener('abort', guarded, { once: true })
    return () => signal.removeEventListener('abort', guarded)
  }

  /**
   * Calls once `limitMs` have passed in which the process could read what came; the function stops that. Time in which it was
   * stopped or blocked is nobody's fault.
   */
  startDeadline(limitMs: number, onLate: () => void): () => void {
    const deadline = startDeadline(limitMs, this.wrap(onLate))
    return () => deadline.clear()
  }

  /** What `work` rejects with goes to `onDefect` too. */
  watch(work: Promise<unknown>): void {
    work.catch(this.#onDefect)
  }

  /** For errors that show elsewhere too; alone they must not end the process. */
  ignoreErrors(emitter: EventEmitter): void {
    emitter.on('error', ignoreError)
  }
}

function ignoreError(): void {}
