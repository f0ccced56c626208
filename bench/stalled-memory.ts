// Resident memory that a relay takes when one side sends all it can and the other reads nothing: clients that do not take their
// download, and a gateway that does not take the upload.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Benchmark, Options, Results, Row } from './benchmark.js'
import { HAPROXY, OURS_BUN, OURS_NODE, PIPE_NODE, type RunningRelay, TEXTBOOK_NODE } from './contestants.js'
import { rounded } from './figures.js'
import { residentBytes } from './processes/usage.js'
import { Stage } from './stage.js'

const TUNNELS = 16
const LOOK_INTERVAL_MS = 50
/** High-water mark of 1 MiB, one read more of 512 KiB, and as much again for what holds it. */
const KIBIBYTES_LIMIT = 4_096

const STALLS = [
  { title: 'clients read nothing', target: 'flood-16384', load: 'stallReading' },
  { title: 'gateway reads nothing', target: 'stall', load: 'uploadForever' },
] as const

export const stalledMemory: Benchmark = { description: 'resident memory of a tunnel whose far side reads nothing', run }

async function run({ isShort }: Options): Promise<Results> {
  const contestants = [OURS_NODE, OURS_BUN, PIPE_NODE, TEXTBOOK_NODE, HAPROXY]
  await using stage = await Stage.open({ contestants: isShort ? contestants.slice(0, 3) : contestants })
  const rows: Row[] = []
  for (const stall of STALLS) {
    for (const relay of stage.relays) {
      const kibibytes = await measurePeak(stage, relay, stall, isShort ? 500 : 4_000)
      rows.push({ stall: stall.title, relay: relay.name, 'KiB/tunnel': Math.round(kibibytes) })
    }
  }
  const ours = rows.filter(({ relay }) => relay === OURS_NODE || relay === OURS_BUN)
  return {
    rows,
    goals: ours.map(({ stall, relay, 'KiB/tunnel': kibibytes }) => ({
      id: `stalled-memory/${stall}/${relay}`,
      title: `${relay}: KiB for a tunnel when ${stall}`,
      ratio: rounded(Number(kibibytes)),
      atMost: KIBIBYTES_LIMIT,
    })),
    notes: stage.notes,
  }
}

/** KiB for a tunnel at the most that is seen in `durationMs`. */
async function measurePeak(
  stage: Stage,
  relay: RunningRelay,
  { target, load }: (typeof STALLS)[number],
  durationMs: number,
): Promise<number> {
  await stage.openTunnels(relay, target, TUNNELS)
  const before = residentBytes(relay.pid)
  await stage.generator.ask(load)
  let peak = before
  for (let lookedMs = 0; lookedMs < durationMs; lookedMs += LOOK_INTERVAL_MS) {
    await sleep(LOOK_INTERVAL_MS)
    peak = Math.max(peak, residentBytes(relay.pid))
  }
  await stage.release()
  return (peak - before) / 1_024 / TUNNELS
}
