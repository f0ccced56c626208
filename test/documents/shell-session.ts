// A shell that takes one command after the other and gives back what each wrote, as somebody at a terminal would see it.

import { RunningProcess } from '../support/cli-process.js'
import type { Scope } from '../support/temp-dir.js'

/** What a command wrote, to either stream, and how it ended. */
export interface CommandOutcome {
  readonly output: string
  readonly exitCode: number
}

/** What stands behind the output of each command. No document has it. */
const MARK = '@@ended@@'
/** What stands behind the output of what was to go on and has ended, or of a shell that was entered. */
const GONE_MARK = '@@gone@@'

export class ShellSession {
  readonly #shell: RunningProcess
  #taken = 0
  #isInside = false

  constructor(scope: Scope, options: { readonly cwd: string; readonly env: Readonly<Record<string, string>> }) {
    this.#shell = new RunningProcess(scope, 'bash', ['--norc', '--noprofile'], options)
    // Jobs in process groups of their own, so that one can be ended with all that it started.
    this.#shell.write('exec 2>&1; set -m\n')
  }

  /** Runs a command to its end. It reads nothing, for the next commands stand in the same input. */
  run(command: string): Promise<CommandOutcome> {
    return this.#say(`{ ${command}\n} </dev/null`)
  }

  /** Runs a command that reads the commands that follow: a shell. */
  enter(command: string): Promise<CommandOutcome> {
    this.#shell.write(`${command}; printf '\\n${GONE_MARK} %d\\n' $?\n`)
    this.#isInside = true
    return this.#say(':')
  }

  /** Ends the shell that was entered, if one was. */
  async leave(): Promise<void> {
    if (!this.#isInside) return
    this.#isInside = false
    // Nothing may follow yet: a shell may read more of its input than it runs.
    this.#shell.write('exit\n')
    await this.#until(GONE_MARK)
  }

  /** Runs a command that goes on until it is told to end; waits until its output matches `ready`, then ends it. */
  async serve(command: string, ready: RegExp): Promise<void> {
    this.#shell.write(`{ ${command}\nprintf '\\n${GONE_MARK} %d\\n' $?; } </dev/null & serving=$!\n`)
    const [all] = await this.#shell.until(new RegExp(`^[^]{${this.#taken}}[^]*?(?:${ready.source}|\n${GONE_MARK})`))
    if (all.endsWith(GONE_MARK)) throw new Error(`it ended: ${all.slice(this.#taken)}`)
    await this.#say('kill -- "-$serving"; wait "$serving" 2>/dev/null')
  }

  #say(line: string): Promise<CommandOutcome> {
    this.#shell.write(`${line}\nprintf '\\n${MARK} %d\\n' $?\n`)
    return this.#until(MARK)
  }

  async #until(mark: string): Promise<CommandOutcome> {
    const pattern = new RegExp(`^[^]{${this.#taken}}([^]*?)\n${mark} (\\d+)\n`)
    const [all = '', output = '', code] = await this.#shell.until(pattern)
    this.#taken = all.length
    return { output, exitCode: Number(code) }
  }
}
