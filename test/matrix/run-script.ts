// Runs a shell script with an environment of its own: bounded in time and output, and gone with everything it started.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Work } from './tool.js'

/** How a script ended. */
export interface ScriptOutcome {
  /** Undefined when it was killed, by the time limit or by the end of the run. */
  readonly exitCode: number | undefined
  readonly stdout: string
  readonly stderr: string
}

/** What a script runs in. */
export interface ScriptOptions {
  readonly folder: string
  /** The whole environment: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/** A client that writes more is not read further: what matters comes at the start or does not come. */
const MAX_OUTPUT_BYTES = 1_048_576

/** Puts the files into the folder and runs the script there. */
export async function runScript({ script, files = {} }: Work, options: ScriptOptions): Promise<ScriptOutcome> {
  for (const [name, text] of Object.entries(files)) {
    const file = join(options.folder, name)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
  options.signal.throwIfAborted()
  // A group of its own, so that what the client started can be ended with it.
  const child = spawn('/bin/sh', ['-euc', script], {
    cwd: options.folder,
    env: options.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const stdout = collect(child.stdout)
  const stderr = collect(child.stderr)
  const end = (): void => killGroup(child)
  const timer = setTimeout(end, options.timeoutMs)
  options.signal.addEventListener('abort', end, { once: true })
  try {
    const exitCode = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', () => killGroup(child))
      child.once('close', resolve)
    })
    return { exitCode: exitCode ?? undefined, stdout: stdout(), stderr: stderr() }
  } finally {
    clearTimeout(timer)
    options.signal.removeEventListener('abort', end)
  }
}

function collect(stream: NodeJS.ReadableStream | null): () => string {
  const pieces: Buffer[] = []
  let bytes = 0
  stream?.on('data', (piece: Buffer) => {
    if (bytes < MAX_OUTPUT_BYTES) pieces.push(piece)
    bytes += piece.length
  })
  return () => Buffer.concat(pieces).toString('utf8')
}

/** Ends the group; what is left of it after the script has ended, too, such as the daemons of a build tool. */
function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // Nobody is left.
  }
}
