// Runs thread-host.ts and talks to it.

import { fileURLToPath } from 'node:url'
import type { RelayStatistics } from '#src/index.js'
import { RunningProcess } from '../support/cli-process.js'
import type { TestRuntime } from '../support/runtimes.js'
import type { Scope } from '../support/temp-dir.js'

const HOST = fileURLToPath(new URL('./thread-host.js', import.meta.url))

/** How one is started. */
export interface ProgramStart {
  /** Options of startRelay() or initUpstreamProxy(); `listens`: it listens to events before it calls. */
  readonly options: object
  /** The package's index; this one's unless given. */
  readonly packageUrl?: string
  readonly runtimeOptions?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** What the host says of an event. */
export type HostEvent = { readonly name: string } & Readonly<Record<string, unknown>>

export class ThreadProgram {
  readonly process: RunningProcess
  port = 0
  #answers = 0

  constructor(process: RunningProcess) {
    this.process = process
  }

  /** The next line that it says. */
  async next<T>(): Promise<T> {
    const index = this.#answers++
    await this.process.until(new RegExp(`^(?:.*\n){${index + 1}}`))
    return JSON.parse(this.process.stdout.split('\n')[index] ?? '') as T
  }

  ask<T = unknown>(command: string): Promise<T> {
    this.process.write(`${command}\n`)
    return this.next<T>()
  }

  /** Its events, when there are `count` of them. */
  async events(count: number): Promise<readonly HostEvent[]> {
    for (;;) {
      const events = await this.ask<readonly HostEvent[]>('events')
      if (events.length >= count) return events
    }
  }

  stats(): Promise<RelayStatistics> {
    return this.ask('stats')
  }
}

/** Starts a program, and waits for its relay to listen. */
export async function startThreadProgram(
  scope: Scope,
  runtime: TestRuntime,
  { options, packageUrl = import.meta.resolve('#src/index.js'), runtimeOptions = [], env = {} }: ProgramStart,
): Promise<ThreadProgram> {
  const args = [...runtimeOptions, HOST, packageUrl, JSON.stringify(options)]
  const program = new ThreadProgram(
    new RunningProcess(scope, runtime.path, args, { env: { PATH: process.env.PATH, ...env } }),
  )
  const { port } = await program.next<{ port: number }>()
  program.port = port
  return program
}
