// How long 64 bytes take to the gateway and back over an open tunnel. And the same, with the time to the 200 of a CONNECT, while
// the program that the relay lives in blocks its event loop for 200 ms of every 250: with the relay in a thread of its own, and
// in the program's. The control is a relay that has nothing to do with the program but the machine: what is left is the system's,
// which lets a program that has something to do run on for some milliseconds.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Benchmark, Goal, Options, Results, Row } from './benchmark.js'
import {
  HAPROXY,
  MAIN_BUN,
  MAIN_NODE,
  OURS_BUN,
  OURS_NODE,
  PIPE_NODE,
  type RunningRelay,
  TEXTBOOK_BUN,
  TEXTBOOK_NODE,
} from './contestants.js'
import { median, percentile, rounded } from './figures.js'
import { Samples, Stage } from './stage.js'

const MESSAGE_BYTES = 64
/** So that what is measured falls anywhere in the blocked time, and that its last hundredth is more than a handful. */
const SLOW_INTERVAL_MS = 5
const BLOCKABLE = [OURS_NODE, MAIN_NODE, OURS_BUN, MAIN_BUN]
/** Beside a program that blocks, the one of MAIN_NODE. */
const CONTROL = PIPE_NODE
const SLOWLY = [...BLOCKABLE, CONTROL]
const BY_DEFAULT = [OURS_NODE, OURS_BUN]
const LOADS = ['echo', 'CONNECT'] as const

export const echo: Benchmark = { description: 'time of 64 bytes there and back, also in a program that blocks', run }

async function run({ isShort }: Options): Promise<Results> {
  const rounds = isShort ? 3 : 9
  const count = isShort ? 200 : 1_000
  const samples = new Samples()
  const contestants = [OURS_NODE, OURS_BUN, PIPE_NODE, TEXTBOOK_NODE, TEXTBOOK_BUN, HAPROXY, MAIN_NODE, MAIN_BUN]
  await using stage = await Stage.open({ contestants })
  for (let round = 0; round <= rounds; round++) {
    for (const relay of stage.relays) {
      await stage.openTunnels(relay, 'echo', 1)
      const times = await stage.generator.ask<number[]>('exchange', { count, bytes: MESSAGE_BYTES })
      await stage.release()
      if (round > 0) samples.add(relay.name, ...times)
    }
  }
  // Short turns, so that a slow second of the machine meets all of them.
  for (let round = 0; round < (isShort ? 2 : 4); round++) {
    for (const relay of stage.relays) await measureBlocked(stage, relay, isShort ? 750 : 1_000, samples)
  }
  const names = stage.relays.map(({ name }) => name)
  return {
    rows: createRows(names, samples),
    goals: createGoals(names, samples),
    notes: stage.notes,
  }
}

/** In turns with the same program when it does not block. */
async function measureBlocked(stage: Stage, relay: RunningRelay, durationMs: number, samples: Samples): Promise<void> {
  const blocked = relay.name === CONTROL ? stage.relays.find(({ name }) => name === MAIN_NODE) : relay
  if (blocked === undefined || !SLOWLY.includes(relay.name)) return
  for (const program of ['free', 'blocked']) {
    await blocked.process?.ask('setBlocking', program === 'blocked')
    await stage.openTunnels(relay, 'echo', 1)
    const request = { durationMs, intervalMs: SLOW_INTERVAL_MS }
    samples.add(`echo ${program} ${relay.name}`, ...(await stage.generator.ask<number[]>('exchangeSlowly', request)))
    await stage.release()
    samples.add(`CONNECT ${program} ${relay.name}`, ...(await connectSlowly(stage, relay, durationMs)))
  }
  await blocked.process?.ask('setBlocking', false)
}

/** Milliseconds to the 200 of CONNECTs, one every SLOW_INTERVAL_MS. */
async function connectSlowly(stage: Stage, relay: RunningRelay, durationMs: number): Promise<number[]> {
  const times: number[] = []
  for (const endsAt = performance.now() + durationMs; performance.now() < endsAt; ) {
    times.push(...(await stage.liveTunnels(relay, 1, 1)))
    await sleep(SLOW_INTERVAL_MS)
  }
  return times
}

function createRows(names: readonly string[], samples: Samples): Row[] {
  const describe = (key: string, relay: string, load: string, program: string): Row => ({
    relay,
    load,
    program,
    'median µs': Math.round(median(samples.of(key)) * 1_000),
    'p99 µs': Math.round(percentile(samples.of(key), 0.99) * 1_000),
  })
  return [
    ...names.map((name) => describe(name, name, 'echo', 'busy with it')),
    ...names
      .filter((name) => SLOWLY.includes(name))
      .flatMap((name) =>
        LOADS.flatMap((load) => [
          describe(`${load} free ${name}`, name, load, `every ${SLOW_INTERVAL_MS} ms`),
          describe(`${load} blocked ${name}`, name, load, `${name === CONTROL ? 'another ' : ''}blocks 200 ms of 250`),
        ]),
      ),
  ]
}

function createGoals(names: readonly string[], samples: Samples): Goal[] {
  const p99 = (key: string): number => percentile(samples.of(key), 0.99)
  const ours = names.filter((name) => BY_DEFAULT.includes(name))
  return ours.flatMap((name): Goal[] => [
    {
      id: `echo/median/${name}`,
      title: `median of 64 bytes there and back: ${name} against ${PIPE_NODE}`,
      ratio: rounded(median(samples.of(name)) / median(samples.of(PIPE_NODE))),
      atMost: 1.2,
    },
    ...LOADS.map(
      (load): Goal => ({
        id: `echo/blocking ${load}/${name}`,
        title: `${name}: p99 of ${load} in a program that blocks against p99 in one that does not`,
        ratio: rounded(p99(`${load} blocked ${name}`) / p99(`${load} free ${name}`)),
        atMost: 2,
      }),
    ),
  ])
}
