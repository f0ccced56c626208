// A value that must not be seen: kept out of console.log, JSON and string joins, read only where it goes on the wire.

import { inspect } from 'node:util'

/** Wraps a secret text, or the way to the one that is valid now. Only `reveal()` gives it back. */
export class Secret {
  readonly #read: () => string

  constructor(value: string | (() => string)) {
    this.#read = typeof value === 'string' ? () => value : value
  }

  reveal(): string {
    return this.#read()
  }

  toString(): string {
    return '[secret]'
  }

  toJSON(): string {
    return '[secret]'
  }

  [inspect.custom](): string {
    return '[secret]'
  }
}
