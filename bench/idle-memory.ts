// Resident memory of the relay's process for each open tunnel that rests: what 1,000 and 5,000 of them add to a process that has
// had some before. And of those that have uploaded something: on Node, TLS keeps some of the memory that it took for that,
// whatever the relay does, so the pipe is what ours is held against.

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
const UPLOADED_TUNNELS = 1_000
/** More than a read that is small: buffers of the pool are taken. */
const UPLOADED_BYTES = 32_768
/** Two sweeps of the relay, which looks once a second for what rests. */
const UPLOADED_REST_MS = 2_500

export const idleMemory: Benchmark = { description: 'resident memory of an idle tunnel, at 1,000 and 5,000', run }

async function run({ isShort }: Options): Promise<Results> {
  const steps = isShort ? [300] : [1_000, 5_000]
  const contestants = isShort ? [OURS_NODE, OURS_BUN] : [OURS_NODE, OURS_BUN, PIPE_NODE, TEXTBOOK_NODE]
  await using stage = await Stage.open({ contestants })
  const rows: Row[] = []
  const last = new Map<string, number>()
  for (const relay of stage.relays) {
    for (const { tunnels, kibibytes } of await measureSteps(stage, relay, steps)) {
      rows.push({ relay: relay.name, tunnels: tunnels.toLocaleString('en'), 'KiB/tunnel': rounded(kibibytes) })
      last.set(relay.name, kibibytes)
    }
  }
  const uploaded = isShort ? new Map<string, number>() : await measureUploaded()
  for (const [relay, kibibytes] of uploaded) {
    const tunnels = `${UPLOADED_TUNNELS.toLocaleString('en')} after an upload`
    rows.push({ relay, tunnels, 'KiB/tunnel': rounded(kibibytes) })
  }
  return {
    rows,
    goals: [...createGoals(last), ...compareUploaded(uploaded)],
    notes: stage.notes,
  }
}

/** Processes of their own, for what one has taken for resting tunnels it takes again for these. */
async function measureUploaded(): Promise<Map<string, number>> {
  await using stage = await Stage.open({ contestants: [OURS_NODE, PIPE_NODE] })
  const measured = new Map<string, number>()
  for (const relay of stage.relays) {
    await openUploaded(stage, relay, WARM_UP_TUNNELS)
    await stage.release()
    await sleep(REST_MS)
    const before = residentBytes(relay.pid)
    await openUploaded(stage, relay, UPLOADED_TUNNELS)
    measured.set(relay.name, (residentBytes(relay.pid) - before) / 1_024 / UPLOADED_TUNNELS)
    await stage.release()
  }
  return measured
}

async function openUploaded(stage: Stage, relay: RunningRelay, tunnels: number): Promise<void> {
  await stage.openTunnels(relay, `sink-${UPLOADED_BYTES}`, tunnels)
  await stage.generator.ask('upload', UPLOADED_BYTES)
  await sleep(UPLOADED_REST_MS)
}

function compareUploaded(uploaded: ReadonlyMap<string, number>): Goal[] {
  const [ours, pipe] = [uploaded.get(OURS_NODE), uploaded.get(PIPE_NODE)]
  if (ours === undefined || pipe === undefined) return []
  const title = `memory of a tunnel that rests after an upload: ${OURS_NODE} against ${PIPE_NODE}`
  return [{ id: 'idle-memory/uploaded', title, ratio: rounded(ours / pipe), atMost: 1 }]
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

function createGoals(last: ReadonlyMap<string, number>): Goal[] {
  const limits = [
    [OURS_NODE, 64],
    [OURS_BUN, 24],
  ] as const
  return limits.flatMap(([name, atMost]) => {
    const kibibytes = last.get(name)
    if (kibibytes === undefined) return []
    return [{ id: `idle-memory/${name}`, title: `${name}: KiB for an idle tunnel`, ratio: rounded(kibibytes), atMost }]
  })
}
