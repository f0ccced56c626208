// How long 64 bytes take to the gateway and back over an open tunnel; and the same while the program that the relay lives in
// blocks its event loop for 200 ms of every 250.

import type { Benchmark, Goal, Options, Results } from './benchmark.js'
import {
  HAPROXY,
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
/** So that the exchanges fall anywhere in the blocked time. */
const SLOW_INTERVAL_MS = 13

export const echo: Benchmark = { description: 'time of 64 bytes there and back, also in a program that blocks', run }

async function run({ isShort }: Options): Promise<Results> {
  const rounds = isShort ? 3 : 9
  const count = isShort ? 200 : 1_000
  const samples = new Samples()
  const contestants = [OURS_NODE, OURS_BUN, PIPE_NODE, TEXTBOOK_NODE, TEXTBOOK_BUN, HAPROXY]
  await using stage = await Stage.open({ contestants })
  for (let round = 0; round <= rounds; round++) {
    for (const relay of stage.relays) {
      await stage.openTunnels(relay, 'echo', 1)
      const times = await stage.generator.ask<number[]>('exchange', { count, bytes: MESSAGE_BYTES })
      await stage.release()
      if (round > 0) samples.add(relay.name, ...times)
    }
  }
  for (const relay of stage.relays) await measureBlocked(stage, relay, isShort ? 400 : 4_000, samples)
  const names = stage.relays.map(({ name }) => name)
  const bars = Object.fromEntries(names.map((name) => [name, median(samples.of(name)) * 1_000]))
  return {
    rows: createRows(names, samples),
    goals: createGoals(names, samples),
    notes: stage.notes,
    chart: { title: '64 bytes there and back, median', unit: 'µs', groups: [{ title: 'echo', bars }] },
  }
}

/** In turns with the same program when it does not block. */
async function measureBlocked(stage: Stage, relay: RunningRelay, durationMs: number, samples: Samples): Promise<void> {
  if (!isOurs(relay.name)) return
  await stage.openTunnels(relay, 'echo', 1)
  for (const isOn of [false, true]) {
    await relay.process?.ask('setBlocking', isOn)
    const request = { durationMs, intervalMs: SLOW_INTERVAL_MS }
    const times = await stage.generator.ask<number[]>('exchangeSlowly', request)
    samples.add(`${isOn ? 'blocked' : 'free'} ${relay.name}`, ...times)
  }
  await relay.process?.ask('setBlocking', false)
  await stage.release()
}

function isOurs(name: string): boolean {
  return name === OURS_NODE || name === OURS_BUN
}

function createRows(names: readonly string[], samples: Samples): Results['rows'] {
  const describe = (key: string, relay: string, program: string) => ({
    relay,
    program,
    'median µs': Math.round(median(samples.of(key)) * 1_000),
    'p99 µs': Math.round(percentile(samples.of(key), 0.99) * 1_000),
  })
  return [
    ...names.map((name) => describe(name, name, 'busy with it')),
    ...names
      .filter(isOurs)
      .flatMap((name) => [
        describe(`free ${name}`, name, `every ${SLOW_INTERVAL_MS} ms`),
        describe(`blocked ${name}`, name, 'blocks 200 ms of 250'),
      ]),
  ]
}

function createGoals(names: readonly string[], samples: Samples): Goal[] {
  const p99 = (key: string): number => percentile(samples.of(key), 0.99)
  return names.filter(isOurs).flatMap((name): Goal[] => [
    {
      id: `echo/median/${name}`,
      title: `median of 64 bytes there and back: ${name} against ${PIPE_NODE}`,
      ratio: rounded(median(samples.of(name)) / median(samples.of(PIPE_NODE))),
      atMost: 1.2,
    },
    {
      id: `echo/blocking/${name}`,
      title: `${name}: p99 in a program that blocks against p99 in one that does not`,
      ratio: rounded(p99(`blocked ${name}`) / p99(`free ${name}`)),
      atMost: 2,
    },
  ])
}
