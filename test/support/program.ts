// A program of the system that a test runs in the foreground: started, waited for, stopped.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import type { Scope } from './temp-dir.js'

export interface ProgramOptions {
  /** What it says, on either stream, when it is ready; the match is what `startProgram` resolves with. */
  readonly ready: RegExp
  readonly cwd: string
  /** The user that it runs as when the test is root. */
  readonly uid?: number
  /** Besides PATH, HOME and the locale. */
  readonly env?: Readonly<Record<string, string>>
  readonly stopSignal?: NodeJS.Signals
}

export interface Program {
  readonly child: ChildProcess
  readonly match: RegExpExecArray
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
  const match = new Promise<RegExpExecArray>((resolve, reject) => {
    const onText = (text: Buffer) => {
      output += text
      const found = ready.exec(output)
      if (found !== null) resolve(found)
    }
    child.stdout.on('data', onText)
    child.stderr.on('data', onText)
    child.once('error', reject)
    child.once('close', (code) => reject(new Error(`${program} ended with ${code}: ${output}`)))
  })
  const closed = once(child, 'close')
  scope.after(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill(stopSignal)
    await closed
  })
  return { child, match: await match, output: () => output }
}

/** A port that was free just now, for programs that cannot be told to take any. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Resolves when something listens on the port, for programs that do not say when they do. */
export async function untilListening({ child, output }: Program, port: number): Promise<void> {
  const isOpen = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1')
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
  while (!(await isOpen())) if (child.exitCode !== null) throw new Error(`it ended: ${output()}`)
}
