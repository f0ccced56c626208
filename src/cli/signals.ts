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

/** Dies as a child did: by the same signal, so that our own parent sees what it would have seen without us. */
export function dieBySignal(signal: NodeJS.Signals): void {
  process.removeAllListeners(signal)
  process.exitCode = exitCodeOf(signal)
  process.kill(process.pid, signal)
  // Signals that this process ignores do not kill it; the timer also keeps it alive until they arrive.
  setTimeout(() => process.exit(exitCodeOf(signal)), 100)
}
