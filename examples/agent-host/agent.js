// Stands for an agent: runs each line of standard input as a tool, in a shell, one after the other.

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/**
 * Runs tools until the input ends or `signal` aborts, which also ends the tool that runs.
 * @param {{ signal: AbortSignal, toolEnvironment: () => Record<string, string | undefined> }} host
 */
export async function runAgent({ signal, toolEnvironment }) {
  for await (const command of createInterface({ input: process.stdin, signal })) {
    await runTool(command, toolEnvironment(), signal)
    if (signal.aborted) break
  }
}

function runTool(command, env, signal) {
  return new Promise((resolve) => {
    const tool = spawn('sh', ['-c', command], { env, signal, stdio: ['ignore', 'inherit', 'inherit'] })
    // It was aborted, or could not be started; `close` follows.
    tool.on('error', ({ message }) => process.stderr.write(`agent: ${message}\n`))
    tool.on('close', resolve)
  })
}
