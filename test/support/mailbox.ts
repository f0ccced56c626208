// Things that come one by one, for a reader that asks before or after they came.

export class Mailbox<T> {
  readonly #kept: T[] = []
  readonly #waiting: ((item: T) => void)[] = []

  put(item: T): void {
    const take = this.#waiting.shift()
    if (take === undefined) this.#kept.push(item)
    else take(item)
  }

  /** The first that nobody has taken yet. */
  next(): Promise<T> {
    if (this.#kept.length > 0) return Promise.resolve(this.#kept.shift() as T)
    return new Promise((resolve) => this.#waiting.push(resolve))
  }
}
