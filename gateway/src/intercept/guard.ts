// What a listener throws ends the one tunnel that it belongs to, never the process: in intercept/ no listener is added but
// through a guard.

import type { EventEmitter } from 'node:events'

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

  on<A extends unknown[]>(emitter: EventEmitter, event: string, listener: Listener<A>): void {
    emitter.on(event, this.wrap(listener) as Listener<unknown[]>)
  }

  once<A extends unknown[]>(emitter: EventEmitter, event: string, listener: Listener<A>): void {
    emitter.once(event, this.wrap(listener) as Listener<unknown[]>)
  }

  /** For errors that show elsewhere too; alone they must not end the process. */
  ignoreErrors(emitter: EventEmitter): void {
    emitter.on('error', ignoreError)
  }
}

function ignoreError(): void {}
