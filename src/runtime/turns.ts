// Work that comes in bursts, spread over turns of the event loop: what has arrived meanwhile is read between.

/** Runs tasks in order, each in a turn of its own. */
export class Turns {
  readonly #tasks: (() => void)[] = []

  add(task: () => void): void {
    if (this.#tasks.push(task) === 1) setImmediate(this.#runFirst)
  }

  readonly #runFirst = (): void => {
    const task = this.#tasks.shift()
    if (this.#tasks.length > 0) setImmediate(this.#runFirst)
    task?.()
  }
}
