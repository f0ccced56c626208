// What a tunnel costs from CONNECT to its orderly end, on loopback, with a bundle of some 200 KB trusted besides the gateway's
// root: CPU time of the relay's process for one, tunnels a second, for how long the relay's event loop is blocked, and how many of
// the TLS handshakes resumed a session. Ours is watched in the program's thread for that, where it shares the loop.

import type { Benchmark, Goal, Options, Results } from './benchmark.js'
import {
  BARE_BUN,
  MAIN_BUN,
  MAIN_NODE,
  OURS_BUN,
  OURS_NODE,
  PIPE_NODE,
  type RunningRelay,
  TEXTBOOK_BUN,
  TEXTBOOK_NODE,
} from './contestants.js'
import { median, rounded } from './figures.js'
import { Samples, Stage } from './stage.js'

const CONCURRENCY = 8
/** For the compilers. */
const WARM_UP_TUNNELS = 200
const PARTS = ['gateway', 'generator'] as const
/** The program's loop has no part in these. */
const IN_A_THREAD: readonly string[] = [OURS_NODE, OURS_BUN]

export const tunnels: Benchmark = {
  description: 'CPU time of a tunnel, tunnels a second, blocked loop, resumption',
  run,
}

interface Connections {
  readonly connections: number
  readonly resumed: number
}

async function run({ isShort }: Options): Promise<Results> {
  const rounds = isShort ? 2 : 5
  const count = isShort ? 24 : 100
  const samples = new Samples()
  const contestants = [OURS_NODE, MAIN_NODE, OURS_BUN, MAIN_BUN, PIPE_NODE, BARE_BUN, TEXTBOOK_NODE, TEXTBOOK_BUN]
  await using stage = await Stage.open({ contestants, hasBundle: true })
  for (const relay of stage.relays) await stage.liveTunnels(relay, WARM_UP_TUNNELS, CONCURRENCY)
  for (let round = 0; round < rounds; round++) {
    for (const relay of stage.relays) {
      await measureLives(stage, relay, count, samples)
      if (!IN_A_THREAD.includes(relay.name)) await measureBlocking(stage, relay, isShort ? 5 : 10, samples)
    }
  }
  const names = stage.relays.map(({ name }) => name)
  const of = (what: string, name: string): number => rounded(median(samples.of(`${what} ${name}`)))
  return {
    rows: names.map((relay) => ({
      relay,
      'CPU ms/tunnel': of('cpu', relay),
      'tunnels/s': Math.round(of('rate', relay)),
      'blocked ms': IN_A_THREAD.includes(relay) ? '' : of('blocked', relay),
      'resumed %': of('resumed', relay),
      'waits for': PARTS.filter((part) => samples.of(`${part} ${relay}`).length > rounds / 2).join() || '-',
    })),
    goals: createGoals(of, names),
    notes: stage.notes,
  }
}

async function measureLives(stage: Stage, relay: RunningRelay, count: number, samples: Samples): Promise<void> {
  const before = await stage.gateway.ask<Connections>('counts')
  const { relayCpuMs, wallMs, bottleneck } = await stage.measure(relay, () =>
    stage.liveTunnels(relay, count, CONCURRENCY),
  )
  const after = await stage.gateway.ask<Connections>('counts')
  samples.add(`cpu ${relay.name}`, relayCpuMs / count)
  if (bottleneck !== undefined) samples.add(`${bottleneck} ${relay.name}`, 1)
  samples.add(`rate ${relay.name}`, count / (wallMs / 1_000))
  const share = (after.resumed - before.resumed) / (after.connections - before.connections)
  samples.add(`resumed ${relay.name}`, share * 100)
}

/** The longest turn of the event loop while one tunnel comes and goes. */
async function measureBlocking(stage: Stage, relay: RunningRelay, count: number, samples: Samples): Promise<void> {
  for (let index = 0; index < count; index++) {
    await relay.process?.ask('startWatching')
    await stage.liveTunnels(relay, 1, 1)
    samples.add(`blocked ${relay.name}`, (await relay.process?.ask<number>('stopWatching')) ?? Number.NaN)
  }
}

function createGoals(of: (what: string, name: string) => number, names: readonly string[]): Goal[] {
  const rate = (id: string, ours: string, textbook: string, atLeast: number): Goal[] =>
    [ours, textbook].every((name) => names.includes(name))
      ? [
          {
            id: `tunnels/${id}`,
            title: `tunnels for a second of CPU: ${ours} against ${textbook}`,
            ratio: rounded(of('cpu', textbook) / of('cpu', ours)),
            atLeast,
          },
        ]
      : []
  const blocked = (main: string): Goal[] =>
    names.includes(main)
      ? [
          {
            id: `tunnels/blocked/${main}`,
            title: `${main}: milliseconds for which a CONNECT blocks the event loop`,
            ratio: of('blocked', main),
            atMost: 1,
          },
        ]
      : []
  return [
    ...rate('node-textbook', OURS_NODE, TEXTBOOK_NODE, 2.5),
    ...rate('bun-node-textbook', OURS_BUN, TEXTBOOK_NODE, 2.5),
    // Its WebSocket is Bun's own: even without one, a tunnel cannot be had for a 2.5th (see `bare sockets`).
    ...rate('bun-textbook', OURS_BUN, TEXTBOOK_BUN, 1.2),
    ...blocked(MAIN_NODE),
    ...blocked(MAIN_BUN),
    {
      id: 'tunnels/resumed',
      title: `${OURS_NODE}: % of sessions resumed`,
      ratio: of('resumed', OURS_NODE),
      atLeast: 95,
    },
  ]
}
