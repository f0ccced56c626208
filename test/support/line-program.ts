// A program that answers each line of its input with a line of JSON; what it says first needs no question.

import { RunningProcess } from './cli-process.js'

export class LineProgram extends RunningProcess {
  #answers = 0

  /** The next line that it says. */
  async next<T>(): Promise<T> {
    const index = this.#answers++
    await this.until(new RegExp(`^(?:.*\n){${index + 1}}`))
    return JSON.parse(this.stdout.split('\n')[index] ?? '') as T
  }

  ask<T = unknown>(command: string): Promise<T> {
    this.write(`${command}\n`)
    return this.next<T>()
  }
}
