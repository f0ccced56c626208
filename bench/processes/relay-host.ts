// A relay in a process of its own, on whatever runtime runs this file; the first argument says which. Besides the relay
// there is the program that it lives in: it can block its event loop, and watch for how long others block it.

import { serve } from './serve.js'

/** What every relay of the bench is told. */
export interface RelaySettings {
  readonly gatewayPort: number
  /** PEM certificates that may sign the gateway's own. */
  readonly trustedCertificates: string
}

interface RelayModule {
  /** Starts the relay; resolves with its port on 127.0.0.1. */
  start(settings: RelaySettings): Promise<number>
}

let blocker: NodeJS.Timeout | undefined
let longestTurnMs = 0
let isWatching = false

/** Blocks the event loop for 200 ms of every 250. */
function setBlocking(isOn: boolean): void {
  clearInterval(blocker)
  if (isOn) blocker = setInterval(() => spin(200), 250)
}

function spin(milliseconds: number): void {
  for (const endsAt = performance.now() + milliseconds; performance.now() < endsAt; );
}

/**
 * Never lets the loop sleep, so that every turn is seen. A turn takes as long as it took by the clock or on a CPU, whichever is
 * less: other programs make the one longer, and other threads of this process the other.
 */
function startWatching(): void {
  isWatching = true
  longestTurnMs = 0
  let turnedAt = performance.now()
  let usedMs = cpuMs()
  const turn = (): void => {
    const [now, used] = [performance.now(), cpuMs()]
    longestTurnMs = Math.max(longestTurnMs, Math.min(now - turnedAt, used - usedMs))
    turnedAt = now
    usedMs = used
    if (isWatching) setImmediate(turn)
  }
  setImmediate(turn)
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}

/** Milliseconds of the longest turn of the event loop since startWatching(). */
function stopWatching(): number {
  isWatching = false
  return longestTurnMs
}

const { start } = (await import(`../controls/${process.argv[2]}.js`)) as RelayModule

serve({ start, setBlocking, startWatching, stopWatching })
