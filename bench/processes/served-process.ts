// The bench's end of one of its processes: starts it, asks it, ends it. serve.ts is the other end.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

interface Answer {
  readonly id: number
  readonly value?: unknown
  readonly failure?: string
}

interface Waiting {
  resolve(value: unknown): void
  reject(error: Error): void
}

/** How a process is started besides its file. */
export interface ProcessOptions {
  /** The binary; this Node unless given. */
  readonly runtime?: string
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export class ServedProcess implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, Waiting>()
  #questions = 0
  #errors = ''

  /** @param file a compiled file next to this one that calls serve() */
  constructor(file: string, { runtime = process.execPath, args = [], env = {} }: ProcessOptions = {}) {
    // Nothing of this machine's environment: it may name proxies and CAs.
    this.#child = spawn(runtime, [fileURLToPath(new URL(file, import.meta.url)), ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH, ...env },
    })
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text
    })
    this.#child.once('exit', (code, signal) => this.#failAll(`${file} ended with ${code ?? signal}: ${this.#errors}`))
    this.#child.once('error', (error) => this.#failAll(`${file}: ${error.message}`))
    if (this.#child.stdout) createInterface({ input: this.#child.stdout }).on('line', (line) => this.#take(line))
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  ask<T>(method: string, argument: unknown = null): Promise<T> {
    const id = ++this.#questions
    return new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#child.stdin?.write(`${JSON.stringify({ id, method, argument })}\n`, (error) => error && reject(error))
    }) as Promise<T>
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.stdin?.end()
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 5_000)
    await exited
    clearTimeout(timer)
  }

  #take(line: string): void {
    const { id, value, failure } = JSON.parse(line) as Answer
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (failure === undefined) waiting?.resolve(value)
    else waiting?.reject(new Error(failure))
  }

  #failAll(reason: string): void {
    for (const { reject } of this.#waiting.values()) reject(new Error(reason))
    this.#waiting.clear()
  }
}
