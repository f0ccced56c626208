// Where secrets come from while the gateway runs: the environment (fixed), a file (read again when it changes), a command
// (run again before its time is over, and once when an origin answers 401).
//
// Rules:
// - `current()` never waits: what has to be fetched is fetched ahead, and the last good value stays until there is a
//   better one. A source that fails is said once, and once more when it works again.
// - A value that no header may have is no value: it would end a request in the middle of its head.
// - No message holds a value, nor what a command printed.

import { execFile } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { SecretValue } from './secret-value.js'

/** A secret that cannot be had. The message names the variable, the file or the failure, never a value. */
export class SecretError extends Error {
  override readonly name = 'SecretError'
}

/** One source. */
export interface SecretSource {
  /** Whether it has a value; a command has none before it was run. */
  readonly isReady: boolean
  /** The same object until there is another value. */
  current(): SecretValue
  /** Fetches the value anew if that may help. Never rejects. */
  refresh(): Promise<void>
}

/** A secret is a header field; none comes near this, and a wrong file (a log, a disk image) is not read whole. */
const MAX_SECRET_BYTES = 65_536
/** An origin that goes on answering 401 does not make the gateway run a command in a loop. */
const MIN_REFRESH_INTERVAL_MS = 30_000
/** After a failure: soon enough to be back before most lifetimes end, no loop. */
const RETRY_MS = 5_000
/** A command is asked again when this part of its time is over. */
const RENEW_AT = 0.8

/** RFC 9110, section 5.5, without its obsolete bytes: visible ASCII, blanks and tabs only inside. */
export function isHeaderText(value: string): boolean {
  return /^[!-~](?:[\t -~]*[!-~])?$/.test(value)
}

/** The content of a file without the one newline that editors put at its end. @throws {SecretError} */
export function readSecretFile(path: string, maxBytes: number = MAX_SECRET_BYTES): string {
  const value = readBounded(path, maxBytes).replace(/\r?\n$/, '')
  if (value === '') throw new SecretError(`the file ${path} is empty`)
  return value
}

function readBounded(path: string, maxBytes: number): string {
  let isTooLarge: boolean
  try {
    isTooLarge = statSync(path).size > maxBytes
    if (!isTooLarge) return readFileSync(path, 'utf8')
  } catch (error) {
    throw new SecretError(`the file ${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'error'})`)
  }
  throw new SecretError(`the file ${path} is larger than ${maxBytes} bytes`)
}

/** A value that stays as it is. */
export class FixedSecret implements SecretSource {
  readonly isReady = true
  readonly #value: SecretValue

  constructor(value: string) {
    this.#value = new SecretValue(value)
  }

  current(): SecretValue {
    return this.#value
  }

  async refresh(): Promise<void> {}
}

/** What sources tell the operator. */
export type SecretReporter = (message: string) => void

/** A file that is looked at for every use, and read when it is another one than before. */
export class FileSecret implements SecretSource {
  readonly isReady = true
  readonly #path: string
  readonly #report: SecretReporter
  #value: SecretValue
  #stamp: string
  #isFailing = false

  /** @throws {SecretError} when there is no value to begin with */
  constructor(path: string, report: SecretReporter) {
    this.#path = path
    this.#report = report
    this.#stamp = stampOf(path)
    this.#value = new SecretValue(readHeaderText(path))
  }

  current(): SecretValue {
    const stamp = stampOf(this.#path)
    if (stamp !== this.#stamp) this.#read(stamp)
    return this.#value
  }

  async refresh(): Promise<void> {
    this.current()
  }

  #read(stamp: string): void {
    try {
      this.#value = this.#value.renewed(readHeaderText(this.#path))
      this.#stamp = stamp
      if (this.#isFailing) this.#report(`the file ${this.#path} is good again`)
      this.#isFailing = false
    } catch (error) {
      if (!this.#isFailing) this.#report(`${(error as Error).message}; its last value stays in use`)
      this.#isFailing = true
    }
  }
}

function readHeaderText(path: string): string {
  return assertHeaderText(readSecretFile(path), `the file ${path}`)
}

/** Changes with the file: also when a link leads to another one, as mounted secrets of Kubernetes do. */
function stampOf(path: string): string {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false })
  return stat === undefined ? 'none' : `${stat.ino} ${stat.mtimeNs} ${stat.size}`
}

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

/** What a command prints on its standard output. `start()` comes first. */
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
    this.#schedule(this.#options.ttlMs * RENEW_AT)
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

  /** Once for everybody who asks while it runs. */
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
      this.#schedule(this.#options.ttlMs * RENEW_AT)
      if (this.#isFailing) this.#report(`the command of ${this.#options.name} works again`)
      this.#isFailing = false
    } catch (error) {
      if (!this.#isFailing) this.#report(`${(error as Error).message}; its last value stays in use`)
      this.#isFailing = true
      this.#schedule(RETRY_MS)
    }
  }

  #schedule(delayMs: number): void {
    clearTimeout(this.#timer)
    if (this.#isStopped) return
    this.#timer = setTimeout(() => void this.#renew(), delayMs)
    this.#timer.unref()
  }
}

function runCommand({ name, command, timeoutMs, env, cwd }: CommandSecretOptions): Promise<string> {
  const [program, ...args] = command as [string, ...string[]]
  const options = { env, cwd, timeout: timeoutMs, maxBuffer: MAX_SECRET_BYTES, encoding: 'utf8' } as const
  return new Promise((resolve, reject) => {
    const child = execFile(program, args, { ...options, killSignal: 'SIGKILL' }, (error, stdout) => {
      const subject = `the command of ${name}`
      if (error !== null) return reject(new SecretError(`${subject} ${commandFailure(error, timeoutMs)}`))
      const value = stdout.replace(/\r?\n$/, '')
      if (value === '') return reject(new SecretError(`${subject} printed nothing`))
      return isHeaderText(value) ? resolve(value) : reject(new SecretError(`${subject} ${NO_HEADER_TEXT}`))
    })
    child.stdin?.end()
  })
}

/** Not the error's message: it has the command line and what was printed. */
function commandFailure(error: import('node:child_process').ExecFileException, timeoutMs: number): string {
  if (error.killed === true) return `did not end within ${timeoutMs} ms`
  return typeof error.code === 'number' ? `exited with ${error.code}` : `cannot be run (${error.code ?? error.signal})`
}

const NO_HEADER_TEXT = 'gives a value that no header may have: visible ASCII in one line, no blanks around it'

/** @throws {SecretError} naming `subject`, if any, and never the value */
export function assertHeaderText(value: string, subject?: string): string {
  if (isHeaderText(value)) return value
  throw new SecretError(subject === undefined ? NO_HEADER_TEXT : `${subject} ${NO_HEADER_TEXT}`)
}
