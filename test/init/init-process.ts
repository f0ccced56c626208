// Runs init-child.js and talks to it.

import type { DisabledProxy, EnabledProxy } from 'ccr-upstream-proxy'
import { RunningProcess } from '../support/cli-process.js'
import type { Session } from '../support/system.js'
import type { Scope } from '../support/temp-dir.js'
import { threadMode } from '../support/thread-mode.js'
import type { Actor } from '../support/unprivileged.js'

const CHILD = new URL('init-child.js', import.meta.url)

/** What the child sees of itself. */
export interface Looks {
  /** Ports on which it listens. */
  readonly listening: readonly number[]
  readonly hasAddon: boolean
  readonly hasInspector: boolean
}

/** What the child says first. */
export type Report = Looks & {
  readonly resourcesBefore: readonly string[]
  readonly resourcesAfter: readonly string[]
} & (EnabledReport | DisabledReport)
export type EnabledReport = Pick<EnabledProxy, 'enabled' | 'port' | 'proxyUrl' | 'caBundlePath' | 'env'>
export type DisabledReport = Pick<DisabledProxy, 'enabled' | 'code' | 'reason' | 'hint' | 'env'>

/** A process that has called initUpstreamProxy(). */
export class InitProcess {
  readonly process: RunningProcess
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

  ask<T>(command: string): Promise<T> {
    this.process.write(`${command}\n`)
    return this.next<T>()
  }
}

/** How to start one. */
export interface InitStart {
  /** Over the session's environment; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Options of initUpstreamProxy(). */
  readonly options?: object
  /** A program that runs Node, with its arguments: a tracer, say. */
  readonly under?: readonly string[]
}

/** Starts a process of `session` that calls initUpstreamProxy(). */
export function startInit(scope: Scope, actor: Actor, session: Session, start: InitStart = {}): InitProcess {
  const { env = {}, options = {}, under = [] } = start
  const program = [
    actor.nodeFile,
    actor.programFile(CHILD),
    actor.packageUrl,
    JSON.stringify({ ...threadMode, ...options }),
  ]
  const [file = '', ...args] = [...under, ...program]
  const child = new RunningProcess(scope, file, args, {
    ...actor.ids,
    cwd: session.directory,
    env: { ...session.env, ...env },
  })
  return new InitProcess(child)
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
