// Other people's programs: found on PATH without a shell, run with limits of time and output, and gone when we are.

import { spawn } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { systemCode } from '../errors.js'
import type { Environment } from '../system/environment.js'

/** How a program ended. */
export interface ProgramOutcome {
  /** undefined: it was killed, or did not start. */
  readonly exitCode: number | undefined
  readonly isLate: boolean
  /** Whether it was ended for what it had said. */
  readonly isEnded: boolean
  /** What it said on both streams, up to a limit. */
  readonly output: string
  readonly ms: number
}

export interface ProgramOptions {
  readonly env: Environment
  readonly cwd: string
  readonly timeoutMs: number
  /** It is ended when it has said this. */
  readonly endedAt?: RegExp | undefined
}

/** Enough for every message; what comes behind it is dropped. */
const MAX_OUTPUT_BYTES = 65_536

/** The first file of that name in `path` that may be run; relative folders are left out: whoever owns the project decides there. */
export function findProgram(name: string, path: string | undefined): string | undefined {
  return (path ?? '')
    .split(':')
    .filter((folder) => isAbsolute(folder))
    .map((folder) => join(folder, name))
    .find(isExecutable)
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return statSync(file).isFile()
  } catch {
    return false
  }
}

/** Runs programs, each in a process group of its own, so that what it starts goes with it. */
export class ProgramRunner {
  readonly #groups = new Set<number>()
  readonly #onExit = (): void => this.killAll()

  constructor() {
    // Before the folders of the programs are removed.
    process.prependOnceListener('exit', this.#onExit)
  }

  /** Never rejects. */
  run(
    file: string,
    args: readonly string[],
    { env, cwd, timeoutMs, endedAt }: ProgramOptions,
  ): Promise<ProgramOutcome> {
    const start = performance.now()
    return new Promise((resolve) => {
      const child = spawn(file, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
      const group = child.pid
      if (group !== undefined) this.#groups.add(group)
      let output = ''
      let isLate = false
      let isEnded = false
      const stop = (): void => {
        this.#kill(group)
        // What it left running may hold the streams open.
        child.stdout.destroy()
        child.stderr.destroy()
      }
      const take = (text: string): void => {
        if (output.length < MAX_OUTPUT_BYTES) output += text
        if (isEnded || endedAt?.test(output) !== true) return
        isEnded = true
        stop()
      }
      const timer = setTimeout(() => {
        isLate = true
        stop()
      }, timeoutMs)
      const end = (exitCode: number | undefined): void => {
        clearTimeout(timer)
        this.#kill(group)
        resolve({ exitCode, isLate, isEnded, output, ms: performance.now() - start })
      }
      child.stdout.setEncoding('utf8').on('data', take)
      child.stderr.setEncoding('utf8').on('data', take)
      child.once('error', (error) => {
        take(systemCode(error))
        end(undefined)
      })
      child.once('close', (code) => end(code ?? undefined))
    })
  }

  /** Ends everything that still runs. */
  killAll(): void {
    for (const group of this.#groups) this.#kill(group)
  }

  /** No more is run. */
  close(): void {
    this.killAll()
    process.removeListener('exit', this.#onExit)
  }

  #kill(group: number | undefined): void {
    if (group === undefined || !this.#groups.delete(group)) return
    try {
      process.kill(-group, 'SIGKILL')
    } catch {
      // It is gone already, with all that it started.
    }
  }
}
