// Runs proxy-program.ts and talks to it.

import { fileURLToPath } from 'node:url'
import type { DisabledProxy, EnabledProxy, RelayStatistics } from '#src/index.js'
import { LineProgram } from './line-program.js'
import type { TestRuntime } from './runtimes.js'
import type { Session } from './system.js'
import type { Scope } from './temp-dir.js'
import { threadMode } from './thread-mode.js'
import type { Actor } from './unprivileged.js'

const PROGRAM = new URL('proxy-program.js', import.meta.url)

/** What the program sees of itself. */
export interface Looks {
  /** Ports on which it listens. */
  readonly listening: readonly number[]
  readonly hasAddon: boolean
  readonly hasInspector: boolean
}

/** What it says first. */
export type Report = Looks & {
  readonly resourcesBefore: readonly string[]
  readonly resourcesAfter: readonly string[]
} & (EnabledReport | DisabledReport)
export type EnabledReport = Pick<EnabledProxy, 'enabled' | 'port' | 'proxyUrl' | 'caBundlePath' | 'env'>
export type DisabledReport = Pick<DisabledProxy, 'enabled' | 'code' | 'reason' | 'hint' | 'env'>

/** What it says of an event. */
export type HostEvent = { readonly name: string } & Readonly<Record<string, unknown>>

export class ProxyProcess extends LineProgram {
  /** Of its relay, once that listens. */
  port = 0

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

/** How to start one in a session. */
export interface InitStart {
  /** Over the session's environment; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Options of initUpstreamProxy(). */
  readonly options?: object
  /** A program that runs Node, with its arguments: a tracer, say. */
  readonly under?: readonly string[]
}

/** Starts a process of `session` that calls initUpstreamProxy(); its report is still to come. */
export function startInit(scope: Scope, actor: Actor, session: Session, start: InitStart = {}): ProxyProcess {
  const { env = {}, options = {}, under = [] } = start
  const given = JSON.stringify({ ...threadMode, ...options })
  const [file = '', ...args] = [...under, actor.nodeFile, actor.programFile(PROGRAM), actor.packageUrl, given]
  return new ProxyProcess(scope, file, args, {
    ...actor.ids,
    cwd: session.directory,
    env: { ...session.env, ...env },
  })
}

/** How to start one of which only the relay matters. */
export interface RelayStart {
  /** Options of startRelay() or initUpstreamProxy(); `listens`: it listens to events before it calls. */
  readonly options: object
  /** The package's index; this one's unless given. */
  readonly packageUrl?: string
  readonly runtimeOptions?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** Starts a program, and waits for its relay to listen. */
export async function startRelayProgram(
  scope: Scope,
  runtime: TestRuntime,
  { options, packageUrl = import.meta.resolve('#src/index.js'), runtimeOptions = [], env = {} }: RelayStart,
): Promise<ProxyProcess> {
  const args = [...runtimeOptions, fileURLToPath(PROGRAM), packageUrl, JSON.stringify(options)]
  const program = new ProxyProcess(scope, runtime.path, args, { env: { PATH: process.env.PATH, ...env } })
  const { port } = await program.next<{ port: number }>()
  program.port = port
  return program
}

/** A warning as the log writes it. */
export interface LoggedWarning {
  readonly code: string
  readonly message: string
  readonly hint: string
}

/** The warnings in what a process wrote to standard error; every line must be one. */
export function parseWarnings(stderr: string): LoggedWarning[] {
  const lines = stderr.split('\n').filter((line) => line !== '')
  return lines.map((line) => {
    const match = /^ccr-upstream-proxy: warn \[([a-z-]+)\] (.+); hint: (.+)$/.exec(line)
    if (match === null) throw new Error(`this is no warning: ${line}`)
    const [, code = '', message = '', hint = ''] = match
    return { code, message, hint }
  })
}
