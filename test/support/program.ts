// A program of the system that a test runs in the foreground: started, waited for, stopped.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Scope } from './temp-dir.js'

export interface ProgramOptions {
  /** What it says, on either stream, when it is ready, or the port on which it listens then. */
  readonly ready: RegExp | number
  readonly cwd: string
  /** The user that it runs as when the test is root. */
  readonly uid?: number
  /** Besides PATH, HOME and the locale. */
  readonly env?: Readonly<Record<string, string>>
  readonly stopSignal?: NodeJS.Signals
}

export interface Program {
  readonly child: ChildProcess
  /** Of what it said when it was ready. */
  readonly match: readonly string[]
  /** Everything that it said so far. */
  readonly output: () => string
}

/** Starts a program with an environment of its own; it is stopped with `scope`. */
export async function startProgram(
  scope: Scope,
  command: readonly [string, ...string[]],
  { ready, cwd, uid, env, stopSignal = 'SIGTERM' }: ProgramOptions,
): Promise<Program> {
  const [program, ...args] = command
  const isRoot = process.getuid?.() === 0
  const child = spawn(program, args, {
    cwd,
    env: { PATH: `${process.env.PATH}:/usr/sbin`, HOME: cwd, LC_ALL: 'C.UTF-8', PYTHONUNBUFFERED: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(uid !== undefined && isRoot && { uid, gid: uid }),
  })
  let output = ''
  const match = new Promise<readonly string[]>((resolve, reject) => {
    const onText = (text: Buffer) => {
      output += text
      const found = typeof ready === 'number' ? null : ready.exec(output)
      if (found !== null) resolve(found)
    }
    child.stdout.on('data', onText)
    child.stderr.on('data', onText)
    child.once('error', reject)
    child.once('close', (code) => reject(new Error(`${program} ended with ${code}: ${output}`)))
    if (typeof ready === 'number') untilListening(child, ready).then(() => resolve([]), reject)
  })
  const closed = once(child, 'close')
  scope.after(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill(stopSignal)
    await closed
  })
  return { child, match: await match, output: () => output }
}

/** Resolves when something listens on the port, or the program has ended. */
export async function untilListening(child: ChildProcess, port: number, host = '127.0.0.1'): Promise<void> {
  while (child.exitCode === null && child.signalCode === null && !(await accepts(port, host))) await nextTurn()
}

function accepts(port: number, host: string): Promise<boolean> {
  const socket = connect(port, host)
  return once(socket, 'connect').then(
    () => {
      socket.destroy()
      return true
    },
    () => false,
  )
}
