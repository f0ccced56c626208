// How long a client waits for the 200 of its CONNECT over a link of 50 ms, in round trips of that link as measured: TCP, TLS, the
// upgrade and the CONNECT are one each, and a warm tunnel has the first three behind it. One at a time with a rest before each,
// and twenty at once from idle.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Benchmark, Goal, Options, Results, Row } from './benchmark.js'
import { COLD_BUN, COLD_NODE, OURS_BUN, OURS_NODE, TEXTBOOK_BUN, TEXTBOOK_NODE, VARLOCK } from './contestants.js'
import { median, percentile, rounded } from './figures.js'
import { Samples, Stage } from './stage.js'

const ROUND_TRIP_MS = 50
const BURST = 20
const WARM_UP_TUNNELS = 100
/** Long enough for a warm tunnel to be opened again. */
const REST_MS = 6 * ROUND_TRIP_MS

export const connect: Benchmark = { description: 'time to the 200 of a CONNECT over a link of 50 ms', run }

async function run({ isShort, withPeers }: Options): Promise<Results> {
  const rounds = isShort ? 1 : 3
  const singles = isShort ? 2 : 5
  const ours = [OURS_NODE, COLD_NODE, OURS_BUN, COLD_BUN]
  const controls = isShort ? [] : [TEXTBOOK_NODE, TEXTBOOK_BUN]
  const contestants = [...ours, ...controls, ...(withPeers ? [VARLOCK] : [])]
  const samples = new Samples()
  await using stage = await Stage.open({ contestants, hasBundle: true, roundTripMs: ROUND_TRIP_MS })
  for (let round = 0; round < rounds; round++) {
    for (const relay of stage.relays) {
      // For what is loaded and compiled late: a burst comes from idle, not from the start. The first tunnel of a process is in start-up.
      if (round === 0) await stage.liveTunnels(relay, WARM_UP_TUNNELS, WARM_UP_TUNNELS / 10)
      for (let single = 0; single < singles; single++) {
        await sleep(REST_MS)
        samples.add(`one ${relay.name}`, ...(await stage.liveTunnels(relay, 1, 1)))
      }
      await sleep(REST_MS)
      samples.add(`burst ${relay.name}`, ...(await stage.liveTunnels(relay, BURST, BURST)))
    }
  }
  const names = stage.relays.map(({ name }) => name)
  const inRoundTrips = (key: string): number => rounded(median(samples.of(key)) / stage.roundTripMs)
  return {
    rows: names.flatMap((name): Row[] => [
      createRow('one at a time', name, samples.of(`one ${name}`), stage.roundTripMs),
      createRow(`${BURST} at once`, name, samples.of(`burst ${name}`), stage.roundTripMs),
    ]),
    goals: names.flatMap((name) => createGoals(name, inRoundTrips)),
    notes: stage.notes,
  }
}

function createRow(load: string, relay: string, times: readonly number[], roundTripMs: number): Row {
  return {
    load,
    relay,
    'median ms': rounded(median(times)),
    'p90 ms': rounded(percentile(times, 0.9)),
    'round trips': rounded(median(times) / roundTripMs),
  }
}

function createGoals(name: string, inRoundTrips: (key: string) => number): Goal[] {
  const one = (id: string, atMost: number): Goal => ({
    id: `connect/${id}/${name}`,
    title: `${name}: round trips to the 200`,
    ratio: inRoundTrips(`one ${name}`),
    atMost,
  })
  switch (name) {
    case COLD_NODE:
    case COLD_BUN:
      return [one('cold', 4.3)]
    case OURS_NODE:
    case OURS_BUN:
      return [one('warm', 1.15), createBurstGoal(name, inRoundTrips(`burst ${name}`))]
    default:
      return []
  }
}

function createBurstGoal(name: string, ratio: number): Goal {
  const title = `${name}: round trips to the 200, ${BURST} at once from idle, median`
  return { id: `connect/burst/${name}`, title, ratio, atMost: 4.3 }
}
