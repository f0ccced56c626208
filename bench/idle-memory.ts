// Resident memory of the relay's process for each open tunnel that rests: what 1,000 and 5,000 of them add to a process that has
// had some before.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Benchmark, Goal, Options, Results, Row } from './benchmark.js'
import { OURS_BUN, OURS_NODE, PIPE_NODE, type RunningRelay, TEXTBOOK_NODE } from './contestants.js'
import { rounded } from './figures.js'
import { residentBytes } from './processes/usage.js'
import { Stage } from './stage.js'

/** Compiles what is going to be compiled, and takes the buffers that are kept. */
const WARM_UP_TUNNELS = 100
/** For what the runtime gives back by itself. */
const REST_MS = 500

export const idleMemory: Benchmark = { description: 'resident memory of an idle tunnel, at 1,000 and 5,000', run }

async function run({ isShort }: Options): Promise<Results> {
  const steps = isShort ? [300] : [1_000, 5_000]
  const contestants = isShort ? [OURS_NODE, OURS_BUN] : [OURS_NODE, OURS_BUN, PIPE_NODE, TEXTBOOK_NODE]
  await using stage = await Stage.open({ contestants })
  const rows: Row[] = []
  const last = new Map<string, number>()
  for (const relay of stage.relays) {
    for (const { tunnels, kibibytes } of await measureSteps(stage, relay, steps)) {
      rows.push({ relay: relay.name, tunnels, 'KiB/tunnel': rounded(kibibytes) })
      last.set(relay.name, kibibytes)
    }
  }
  const groups = [{ title: `${steps.at(-1)} tunnels`, bars: Object.fromEntries(last) }]
  return {
    rows,
    goals: createGoals(last, isShort),
    notes: stage.notes,
    chart: { title: 'Resident memory of an idle tunnel', unit: 'KiB', groups },
  }
}

async function measureSteps(stage: Stage, relay: RunningRelay, steps: readonly number[]) {
  await stage.openTunnels(relay, 'idle', WARM_UP_TUNNELS)
  await stage.release()
  await sleep(REST_MS)
  const before = residentBytes(relay.pid)
  const measured: { tunnels: number; kibibytes: number }[] = []
  let open = 0
  for (const tunnels of steps) {
    await stage.openTunnels(relay, 'idle', tunnels - open)
    open = tunnels
    await sleep(REST_MS)
    measured.push({ tunnels, kibibytes: (residentBytes(relay.pid) - before) / 1_024 / tunnels })
  }
  await stage.release()
  return measured
}

function createGoals(last: ReadonlyMap<string, number>, isShort: boolean): Goal[] {
  const limits = [
    [OURS_NODE, 64],
    [OURS_BUN, 24],
  ] as const
  return limits.flatMap(([name, atMost]) => {
    const kibibytes = last.get(name)
    if (kibibytes === undefined) return []
    // A few hundred tunnels carry what the runtime takes in one go for all of them.
    const id = `idle-memory/${isShort ? 'short/' : ''}${name}`
    return [{ id, title: `${name}: KiB for an idle tunnel`, ratio: rounded(kibibytes), atMost }]
  })
}
