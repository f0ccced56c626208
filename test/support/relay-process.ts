// Starts a relay in a process on the runtime under test, and talks to it. See relay-host.ts for the other end.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { ChannelMessages, RelayStatistics, StartRelayOptions, WarmStatistics } from '#src/index.js'
import type { TestRuntime } from './runtimes.js'

const HOST = fileURLToPath(new URL('./relay-host.js', import.meta.url))

/** Options of startRelay() that can be written down. */
export type WrittenRelayOptions = Omit<StartRelayOptions, 'logger' | 'token'> & { readonly token: string }

export interface RelayProcessOptions {
  /** Limit of open descriptors of the process. */
  readonly descriptorLimit?: number
  readonly env?: Readonly<Record<string, string>>
  /** What a token source lends in place of the token; '' when it throws. It can only do so in the program's own thread. */
  readonly lent?: string
}

/** What was said on one of the channels. Fields that are undefined are missing. */
export type ChannelEvent = {
  [Name in keyof ChannelMessages]: { readonly name: Name; readonly message: ChannelMessages[Name] }
}[keyof ChannelMessages]

interface HostMessage {
  readonly id?: number
  readonly value?: unknown
  readonly port?: number
  readonly descriptors?: number
  readonly failure?: string
  readonly fault?: string
  readonly event?: ChannelEvent
}

export class RelayProcess {
  readonly port: number
  /** Descriptors that were open before the relay listened. */
  readonly initialDescriptors: number
  readonly child: ChildProcess
  /** What must never happen: unhandled rejections, uncaught exceptions, warnings, lines on standard error. */
  readonly faults: string[]
  /** What was said on the channels since listen(). */
  readonly events: ChannelEvent[] = []
  readonly #waiting = new Map<number, (value: unknown) => void>()
  readonly #listeners = new Set<() => void>()
  #commands = 0

  constructor(child: ChildProcess, port: number, initialDescriptors: number, faults: string[]) {
    this.child = child
    this.port = port
    this.initialDescriptors = initialDescriptors
    this.faults = faults
  }

  stats(): Promise<RelayStatistics> {
    return this.#ask('stats') as Promise<RelayStatistics>
  }

  /** From here on `events` has what is said on the channels. */
  async listen(): Promise<void> {
    await this.#ask('listen')
  }

  /** Resident memory in bytes. */
  memory(): Promise<number> {
    return this.#ask('memory') as Promise<number>
  }

  descriptors(): Promise<number> {
    return this.#ask('descriptors') as Promise<number>
  }

  /** The program opens files until it may open no more. */
  async takeDescriptors(): Promise<void> {
    await this.#ask('take-descriptors')
  }

  async giveDescriptors(): Promise<void> {
    await this.#ask('give-descriptors')
  }

  /** The token source lends `token` from now on; with '' it throws. */
  async lend(token: string): Promise<void> {
    await this.#ask(`lend ${toHex(token)}`)
  }

  /** Closes the relay, not the process; resolves with the number of descriptors that are left. */
  close(graceMs?: number): Promise<number> {
    return this.#ask(graceMs === undefined ? 'close' : `close ${graceMs}`) as Promise<number>
  }

  /** Resolves when the relay has exactly `count` tunnels. */
  async tunnels(count: number): Promise<void> {
    await until(
      async () => (await this.stats()).tunnels.open,
      (open) => open === count,
    )
  }

  /** Resolves when the process has at most `count` descriptors. */
  async descriptorsAtMost(count: number): Promise<void> {
    await until(
      () => this.descriptors(),
      (open) => open <= count,
    )
  }

  /** Resolves when that is so of the WebSockets that are open before they are needed. */
  async warm(isSo: (warm: WarmStatistics) => boolean): Promise<void> {
    await until(async () => (await this.stats()).warm, isSo)
  }

  /** Ends the process; fails when it met a fault or was not alive any more. */
  async stop(): Promise<void> {
    const wasAlive = this.child.exitCode === null && this.child.signalCode === null
    if (wasAlive) {
      const exited = once(this.child, 'exit')
      this.child.kill('SIGCONT')
      this.child.stdin?.end()
      await exited
    }
    assert.deepEqual(this.faults, [])
    assert.ok(wasAlive, `the process had ended with ${this.child.exitCode ?? this.child.signalCode}`)
  }

  /** @internal */
  take({ id, value, event }: HostMessage): void {
    if (event !== undefined) this.#tell(event)
    if (id === undefined) return
    this.#waiting.get(id)?.(value)
    this.#waiting.delete(id)
  }

  /** The first (such) message on a channel since listen(), as soon as it is there: events may come later than figures. */
  async event<Name extends keyof ChannelMessages>(
    name: Name,
    isIt: (message: ChannelMessages[Name]) => boolean = () => true,
  ): Promise<ChannelMessages[Name]> {
    for (;;) {
      const found = this.events.find((event) => event.name === name && isIt(event.message as ChannelMessages[Name]))
      if (found !== undefined) return found.message as ChannelMessages[Name]
      await new Promise<void>((resolve) => this.#listeners.add(resolve))
    }
  }

  #tell(event: ChannelEvent): void {
    this.events.push(event)
    for (const listener of this.#listeners) listener()
    this.#listeners.clear()
  }

  #ask(command: string): Promise<unknown> {
    const id = ++this.#commands
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, resolve)
      this.child.stdin?.write(`${id} ${command}\n`, (error) => error && reject(error))
    })
  }
}

/** Only ends what hangs, and says what was seen last. */
const LONGEST_WAIT_MS = 60_000

/** Asks again and again, for a figure has no event. */
async function until<T>(ask: () => Promise<T>, isSo: (seen: T) => boolean): Promise<void> {
  const deadline = performance.now() + LONGEST_WAIT_MS
  for (;;) {
    const seen = await ask()
    if (isSo(seen)) return
    if (performance.now() > deadline) assert.fail(`${JSON.stringify(seen)} after ${LONGEST_WAIT_MS} ms`)
    await pause(5)
  }
}

/** Starts a relay. Rejects with the code when startRelay() refuses its options. */
export async function startRelayProcess(
  runtime: TestRuntime,
  options: WrittenRelayOptions,
  processOptions: RelayProcessOptions = {},
): Promise<RelayProcess> {
  const { descriptorLimit, env = {}, lent } = processOptions
  const command = descriptorLimit === undefined ? [runtime.path, HOST] : limited(descriptorLimit, [runtime.path, HOST])
  const child = spawn(command[0] as string, command.slice(1), {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, ...env },
  })
  child.stdin.write(`${JSON.stringify({ ...options, lent: lent === undefined ? undefined : toHex(lent) })}\n`)
  const faults: string[] = []
  child.stderr.setEncoding('utf8').on('data', (text: string) => faults.push(text))
  let relay: RelayProcess | undefined
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) =>
      reject(new Error(`the relay ended with ${code ?? signal}: ${faults.join('')}`)),
    )
    createInterface({ input: child.stdout }).on('line', (line) => {
      const message = JSON.parse(line) as HostMessage
      if (message.fault !== undefined) faults.push(message.fault)
      else if (message.failure !== undefined) {
        child.stdin.end()
        reject(new Error(message.failure))
      } else if (message.port !== undefined) {
        relay = new RelayProcess(child, message.port, message.descriptors ?? 0, faults)
        resolve(relay)
      } else relay?.take(message)
    })
  })
}

function toHex(text: string): string {
  return Buffer.from(text, 'latin1').toString('hex')
}

function limited(descriptors: number, command: readonly string[]): string[] {
  return ['/bin/sh', '-c', `ulimit -n ${descriptors}; exec "$@"`, 'sh', ...command]
}
