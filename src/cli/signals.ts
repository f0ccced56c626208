// Signals that end a program, or that it passes on to the one it runs.

import { constants } from 'node:os'

/** The exit code that shells give to a process that `signal` killed. */
export function exitCodeOf(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal]
}

/** Calls `action` for each of `signals` until the returned function is called. */
export function onSignals(signals: readonly NodeJS.Signals[], action: (signal: NodeJS.Signals) => void): () => void {
  for (const signal of signals) process.on(signal, action)
  return () => {
    for (const signal of signals) process.removeListener(signal, action)
  }
}

/** Milliseconds for a signal to arrive at the process that sent it. */
const ARRIVAL_TIMEOUT_MS = 100

/**
 * Dies as a child did: by the same signal, so that our own parent sees what it would have seen without us. Signals that this
 * process ignores do not kill it; then it resolves to the code that shells give.
 */
export async function dieBySignal(signal: NodeJS.Signals): Promise<number> {
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
  await new Promise((resolve) => setTimeout(resolve, ARRIVAL_TIMEOUT_MS))
  return exitCodeOf(signal)
}
