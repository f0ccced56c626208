// A process of the fuzz suite besides its own, and what is said to it and by it. It is gone when the suite is.

import { type ChildProcess, type ForkOptions, fork } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { Mailbox } from '../../support/mailbox.js'
import type { Scope } from '../../support/temp-dir.js'

export class HelperProcess {
  readonly process: ChildProcess
  /** How it ended; undefined while it runs. */
  exit: string | undefined
  stderr = ''
  readonly #ended: Promise<string>
  readonly #answers = new Mailbox<unknown>()

  constructor(scope: Scope, file: string, { args = [], ...options }: ForkOptions & { readonly args?: string[] } = {}) {
    this.process = fork(file, args, { execArgv: [], env: {}, ...options, stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    this.process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
    })
    this.process.on('message', (answer) => this.#answers.put(answer))
    this.#ended = once(this.process, 'exit').then(([code, signal]) => {
      this.exit = `${code ?? signal}`
      return this.exit
    })
    scope.after(() => void this.process.kill('SIGKILL'))
  }

  async ask<A>(question: object | string): Promise<A> {
    this.process.send(question)
    return (await Promise.race([this.#answers.next(), this.#failOnExit()])) as A
  }

  /** Waits until it wrote this to stderr. */
  async untilSaid(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.stderr)
      if (match !== null) return match
      await Promise.race([once(this.process.stderr as Readable, 'data'), this.#failOnExit()])
    }
  }

  untilExit(): Promise<string> {
    return this.#ended
  }

  async #failOnExit(): Promise<never> {
    throw new Error(`${this.process.spawnfile} ended: ${await this.untilExit()} ${this.stderr}`)
  }
}
