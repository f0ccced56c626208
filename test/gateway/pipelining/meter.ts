// Measures the process that it is loaded into with --import: at SIGUSR2 it prints what there was since the last time, and begins anew.
// For tests only.

const SAMPLE_MS = 5

/** What the line on stderr says. */
export interface Measured {
  /** CPU of the longest turn of the event loop: what a busy machine does not lengthen much. */
  readonly longestTurnMs: number
  readonly maxResidentBytes: number
}

let longestTurnMs = 0
let maxResidentBytes = 0
let [sampledAt, cpuMs] = now()

function now(): [wallMs: number, cpuMs: number] {
  const { user, system } = process.cpuUsage()
  return [performance.now(), (user + system) / 1_000]
}

function sample(): void {
  const [wall, cpu] = now()
  longestTurnMs = Math.max(longestTurnMs, Math.min(wall - sampledAt, cpu - cpuMs) - SAMPLE_MS)
  maxResidentBytes = Math.max(maxResidentBytes, process.memoryUsage.rss())
  ;[sampledAt, cpuMs] = [wall, cpu]
}

setInterval(sample, SAMPLE_MS).unref()
process.on('SIGUSR2', () => {
  sample()
  const measured: Measured = { longestTurnMs, maxResidentBytes }
  process.stderr.write(`measured ${JSON.stringify(measured)}\n`)
  longestTurnMs = 0
  maxResidentBytes = 0
})
