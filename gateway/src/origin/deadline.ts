// The time that a dial may take: until its deadline, or until nobody wants it any more.

/**
 * Gives `work` a signal that aborts after `timeoutMs`, or with `signal`. Not `AbortSignal.timeout`: its timers stay until
 * they fire, for every connection that was made in time.
 */
export async function withDeadline<T>(
  signal: AbortSignal,
  timeoutMs: number,
  work: (inTime: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController()
  const onAbort = () => controller.abort('too late, or for nobody')
  const timer = setTimeout(onAbort, timeoutMs)
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()
  try {
    return await work(controller.signal)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
}
