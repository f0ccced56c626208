// A secret that a command prints on its standard output. It is run before its time is over, and once when an origin answers
// 401, however many requests that is the answer to.

import { type ExecFileException, execFile } from 'node:child_process'
import { Guard } from '../../guard.js'
import {
  assertHeaderText,
  MAX_SECRET_BYTES,
  SecretError,
  type SecretReporter,
  type SecretSource,
} from './secret-source.js'
import { SecretValue } from './secret-value.js'

/** How a command is run. */
export interface CommandSecretOptions {
  readonly name: string
  /** Program and arguments; no shell. */
  readonly command: readonly string[]
  /** How long a value is valid. */
  readonly ttlMs: number
  readonly timeoutMs: number
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
}

/** An origin that goes on answering 401 does not make the gateway run a command in a loop. */
const MIN_REFRESH_INTERVAL_MS = 30_000
/** After a failure: soon enough to be back before most lifetimes end, no loop. */
const RETRY_MS = 5_000
/** A command is asked again when this part of its time is over. */
const RENEW_AT = 0.8

/** `start()` comes first. */
export class CommandSecret implements SecretSource {
  readonly #options: CommandSecretOptions
  readonly #report: SecretReporter
  #value: SecretValue | undefined
  #isFailing = false
  #running: Promise<void> | undefined
  #refreshedAt = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  constructor(options: CommandSecretOptions, report: SecretReporter) {
    this.#options = options
    this.#report = report
  }

  get isReady(): boolean {
    return this.#value !== undefined
  }

  current(): SecretValue {
    if (this.#value === undefined) throw new SecretError(`the command of ${this.#options.name} was not run yet`)
    return this.#value
  }

  /** Runs the command for the first time. @throws {SecretError} */
  async start(): Promise<void> {
    this.#value ??= new SecretValue(await runCommand(this.#options))
    this.#renewIn(this.#options.ttlMs * RENEW_AT)
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }

  async refresh(): Promise<void> {
    if (this.#running === undefined && performance.now() - this.#refreshedAt < MIN_REFRESH_INTERVAL_MS) return
    this.#refreshedAt = performance.now()
    await this.#renew()
  }

  /** Once for all that ask while it runs. */
  #renew(): Promise<void> {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  async #run(): Promise<void> {
    try {
      const text = await runCommand(this.#options)
      this.#value = this.#value?.renewed(text) ?? new SecretValue(text)
      this.#renewIn(this.#options.ttlMs * RENEW_AT)
      if (this.#isFailing) this.#report(`the command of ${this.#options.name} works again`)
      this.#isFailing = false
    } catch (error) {
      if (!this.#isFailing) this.#report(`${(error as Error).message}; its last value stays in use`)
      this.#isFailing = true
      this.#renewIn(RETRY_MS)
    }
  }

  #renewIn(delayMs: number): void {
    clearTimeout(this.#timer)
    if (this.#isStopped) return
    this.#timer = setTimeout(() => void this.#renew(), delayMs)
    this.#timer.unref()
  }
}

function runCommand({ name, command, timeoutMs, env, cwd }: CommandSecretOptions): Promise<string> {
  const [program, ...args] = command as [string, ...string[]]
  const options = { env, cwd, maxBuffer: MAX_SECRET_BYTES, encoding: 'utf8', killSignal: 'SIGKILL' } as const
  return new Promise((resolve, reject) => {
    const guard = new Guard(reject)
    const late = new AbortController()
    const stopWaiting = guard.startDeadline(timeoutMs, () => late.abort())
    const onEnd = guard.wrap((error: ExecFileException | null, stdout: string) => {
      stopWaiting()
      resolve(printedSecret(`the command of ${name}`, error, stdout, timeoutMs))
    })
    const child = execFile(program, args, { ...options, signal: late.signal }, onEnd)
    if (!child.stdin) return // It could not be run: that is called back.
    // A command that has ended reads nothing; how it ended is told by its exit.
    guard.ignoreErrors(child.stdin)
    child.stdin.end()
  })
}

/** @throws {SecretError} */
function printedSecret(subject: string, error: ExecFileException | null, stdout: string, timeoutMs: number): string {
  if (error !== null) throw new SecretError(`${subject} ${commandFailure(error, timeoutMs)}`)
  const value = stdout.replace(/\r?\n$/, '')
  if (value === '') throw new SecretError(`${subject} printed nothing`)
  return assertHeaderText(value, subject)
}

/** Not the error's message: it has the command line and what was printed. */
function commandFailure(error: ExecFileException, timeoutMs: number): string {
  if (error.code === 'ABORT_ERR') return `did not end within ${timeoutMs} ms`
  return typeof error.code === 'number' ? `exited with ${error.code}` : `cannot be run (${error.code ?? error.signal})`
}
