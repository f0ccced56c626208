// The time that a dial may take: until its deadline, or until nobody wants it any more.

import { Guard } from '../guard.js'

/** Gives `work` a signal that aborts after `timeoutMs`, or with `signal`. */
export async function withDeadline<T>(
  signal: AbortSignal,
  timeoutMs: number,
  work: (inTime: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController()
  const guard = new Guard((thrown) => controller.abort(thrown))
  const onAbort = () => controller.abort('too late, or for nobody')
  const stopWaiting = guard.startDeadline(timeoutMs, onAbort)
  const stopListening = guard.onAbort(signal, onAbort)
  if (signal.aborted) onAbort()
  try {
    return await work(controller.signal)
  } finally {
    stopWaiting()
    stopListening()
  }
}
