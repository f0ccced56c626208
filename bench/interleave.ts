// Times synchronous functions against each other on a machine that others use too: round by round each gets its turn, and
// the median round counts, so that a slow second meets all of them.

import type { Options } from './benchmark.js'
import { median } from './figures.js'

/** What is timed, by its name. */
export type Contestants = Readonly<Record<string, () => void>>

interface Contestant {
  readonly name: string
  readonly run: () => void
  readonly callsPerRound: number
  readonly nanosecondsPerCall: number[]
}

/** Odd, so that there is a middle one. */
const ROUNDS = 41
const SHORT_ROUNDS = 11
const ROUND_MS = 8
const SHORT_ROUND_MS = 3
/** Long enough for the compilers of V8 and JavaScriptCore. */
const WARM_UP_MS = 150
const SHORT_WARM_UP_MS = 50

/** The median of nanoseconds per call for each. */
export function interleave(contestants: Contestants, { isShort }: Options): Record<string, number> {
  const warmUpMs = isShort ? SHORT_WARM_UP_MS : WARM_UP_MS
  const roundMs = isShort ? SHORT_ROUND_MS : ROUND_MS
  const entries = Object.entries(contestants).map(([name, run]): Contestant => {
    const callsPerRound = Math.max(1, Math.round(countCalls(run, warmUpMs) * (roundMs / warmUpMs)))
    return { name, run, callsPerRound, nanosecondsPerCall: [] }
  })
  for (let round = 0; round < (isShort ? SHORT_ROUNDS : ROUNDS); round++) {
    for (const entry of entries) entry.nanosecondsPerCall.push(timeRound(entry))
  }
  return Object.fromEntries(entries.map(({ name, nanosecondsPerCall }) => [name, median(nanosecondsPerCall)]))
}

/** The calls of the second half of the time, doubled: the first half may be the interpreter's. */
function countCalls(run: () => void, milliseconds: number): number {
  const start = performance.now()
  while (performance.now() - start < milliseconds / 2) run()
  let calls = 0
  for (; performance.now() - start < milliseconds; calls++) run()
  return calls * 2
}

function timeRound({ run, callsPerRound }: Contestant): number {
  const start = process.hrtime.bigint()
  for (let call = 0; call < callsPerRound; call++) run()
  return Number(process.hrtime.bigint() - start) / callsPerRound
}
