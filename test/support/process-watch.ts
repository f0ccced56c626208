// What a process must not do while it is tested: warn, leave a rejection without a handler, throw where nothing catches.
// A test that starts something in this process asks at its end; what comes when no test asks any more ends the process with 1.

/** One for a process: its listeners stay. */
export class ProcessWatch {
  readonly #seen: string[] = []

  constructor() {
    process.on('warning', (warning) => this.#note('a warning', warning))
    process.on('unhandledRejection', (reason) => this.#note('an unhandled rejection', reason))
    process.on('uncaughtExceptionMonitor', (error) => this.#note('an uncaught exception', error))
    process.on('exit', () => {
      if (this.#seen.length === 0) return
      process.stderr.write(`${this.#seen.join('\n')}\n`)
      process.exitCode = 1
    })
  }

  /** @throws {Error} with the traces of what came since it was asked before */
  assertQuiet(): void {
    const seen = this.#seen.splice(0)
    if (seen.length > 0) throw new Error(seen.join('\n'))
  }

  #note(what: string, cause: unknown): void {
    this.#seen.push(`the process had ${what}: ${cause instanceof Error ? cause.stack : cause}`)
  }
}
