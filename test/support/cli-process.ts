// Child processes of tests: started with an environment of their own, watched by what they write, gone when the test is.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Scope } from './temp-dir.js'

/** The command line of the package. */
export const CLI_FILE = fileURLToPath(new URL('cli/main.js', import.meta.resolve('ccr-upstream-proxy')))

/** How a child is started. */
export interface StartOptions {
  /** The whole environment: nothing is inherited. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd?: string
  readonly uid?: number
  readonly gid?: number
  /** What standard input holds; without it, it stays open for write(). */
  readonly input?: string
}

/** How a child ended, and what it wrote. */
export interface Outcome {
  readonly exitCode: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A child that runs. */
export class RunningProcess {
  stdout = ''
  stderr = ''
  /** Settles when the child has ended and its output is complete. */
  readonly ended: Promise<Outcome>
  readonly #child: ChildProcess
  readonly #watchers = new Set<() => void>()
  #isOver = false

  constructor(scope: Scope, file: string, args: readonly string[], { input, ...options }: StartOptions) {
    this.#child = spawn(file, args, { ...options, stdio: 'pipe' })
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#take('stdout', text))
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#take('stderr', text))
    // A child that does not read, or is gone, is not what a test of its output is about.
    this.#child.stdin?.on('error', () => {})
    if (input !== undefined) this.#child.stdin?.end(input)
    this.ended = this.#untilEnd()
    this.ended.catch(() => {})
    scope.after(async () => {
      this.#child.kill('SIGKILL')
      await this.ended.catch(() => {})
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  write(text: string): void {
    this.#child.stdin?.write(text)
  }

  endInput(): void {
    this.#child.stdin?.end()
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Waits until what was written matches; fails when the child ends without it. */
  async until(pattern: RegExp, stream: 'stdout' | 'stderr' = 'stdout'): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this[stream])
      if (match !== null) return match
      if (this.#isOver) throw new Error(`the child ended without ${pattern}: ${this.stdout}${this.stderr}`)
      await new Promise<void>((resolve) => this.#watchers.add(resolve))
    }
  }

  async #untilEnd(): Promise<Outcome> {
    try {
      const [exitCode, signal] = (await once(this.#child, 'close')) as [number | null, NodeJS.Signals | null]
      return { exitCode, signal, stdout: this.stdout, stderr: this.stderr }
    } finally {
      this.#isOver = true
      this.#wake()
    }
  }

  #take(stream: 'stdout' | 'stderr', text: string): void {
    this[stream] += text
    this.#wake()
  }

  #wake(): void {
    for (const watcher of this.#watchers) watcher()
    this.#watchers.clear()
  }
}

/** Runs a program to its end. */
export function run(scope: Scope, file: string, args: readonly string[], options: StartOptions): Promise<Outcome> {
  return new RunningProcess(scope, file, args, { input: '', ...options }).ended
}

/** Whether a program is there: it answers `--version`, or what else it is asked. */
export async function isInstalled(scope: Scope, program: string, ...args: string[]): Promise<boolean> {
  const question = args.length === 0 ? ['--version'] : args
  return run(scope, program, question, { env: { PATH: process.env.PATH, HOME: process.env.HOME } }).then(
    ({ exitCode }) => exitCode === 0,
    () => false,
  )
}
