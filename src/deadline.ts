/**
 * A timer for one wait, by the clock that does not judge a stopped process (limit-clock.ts). What has many waits at once, as the
 * relay has, sweeps them with one clock instead. A gateway built on this package judges its clients and origins by it too.
 * @module ccr-upstream-proxy/deadline
 */

import { LimitClock } from './limit-clock.js'

/** Between looks at the clock, at most: what a stop costs of the limit is twice that. */
const LONGEST_INTERVAL_MS = 1_000

/** A limit that runs. */
export interface Deadline {
  /** The wait is over: nothing happens any more. */
  clear(): void
}

/** Calls `onLate` once `limitMs` have passed in which the event loop went round; keeps the process alive until then. */
export function startDeadline(limitMs: number, onLate: () => void): Deadline {
  const intervalMs = Math.max(Math.min(limitMs / 4, LONGEST_INTERVAL_MS), 1)
  const clock = new LimitClock(intervalMs)
  const timer = setInterval(() => {
    clock.wind()
    if (clock.readUntil < limitMs) return
    clearInterval(timer)
    onLate()
  }, intervalMs)
  return { clear: () => clearInterval(timer) }
}

/** What `work` makes of a signal that aborts once `limitMs` have passed so; its reason is what `createError` makes. */
export async function withDeadline<T>(
  limitMs: number,
  createError: () => Error,
  work: (late: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController()
  const deadline = startDeadline(limitMs, () => late.abort(createError()))
  try {
    return await work(late.signal)
  } finally {
    deadline.clear()
  }
}
