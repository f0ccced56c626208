// What a byte costs: CPU time of the relay's process for a GiB, each way, over one stream and over sixteen, and for downloads
// by the size of the gateway's messages. The wall time stands beside it; on a busy machine it means little.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Benchmark, Goal, Options, Results, Row } from './benchmark.js'
import {
  HAPROXY,
  OURS_BUN,
  OURS_NODE,
  PIPE_NODE,
  type RunningRelay,
  TEXTBOOK_BUN,
  TEXTBOOK_NATIVE,
  TEXTBOOK_NODE,
  VARLOCK,
} from './contestants.js'
import { median, rounded } from './figures.js'
import { Samples, Stage } from './stage.js'

interface Cell {
  readonly title: string
  readonly direction: 'upload' | 'download'
  readonly streams: number
  /** Payload of one message of the gateway; 0 for uploads. */
  readonly messageBytes: number
}

const MIB = 1_048_576
const GIB = 1_024 * MIB

const CELLS: readonly Cell[] = [1, 16].flatMap((streams): Cell[] => [
  { title: `upload ×${streams}`, direction: 'upload', streams, messageBytes: 0 },
  ...[65_536, 16_384, 1_024].map(
    (messageBytes): Cell => ({
      title: `download ${messageBytes / 1_024} KiB ×${streams}`,
      direction: 'download',
      streams,
      messageBytes,
    }),
  ),
])

const REST_MS = 50

/** For the compilers: what is measured earlier costs up to twice as much. */
const WARM_UP_ROUNDS = 2

/** So small messages take some relays up to ten times as long, and need no more bytes to tell. */
const SMALL_MESSAGE_BYTES = 1_024

const ALL = [OURS_NODE, OURS_BUN, PIPE_NODE, TEXTBOOK_NODE, TEXTBOOK_NATIVE, TEXTBOOK_BUN, HAPROXY]

export const throughput: Benchmark = { description: 'CPU time for a GiB each way, by streams and message size', run }

async function run({ isShort, withPeers }: Options): Promise<Results> {
  const rounds = isShort ? 3 : 9
  const cells = isShort ? CELLS.filter(({ streams }) => streams === 1) : CELLS
  const figures = new Figures()
  await using stage = await Stage.open({ contestants: withPeers ? [...ALL, VARLOCK] : ALL })
  for (const cell of cells) {
    const totalBytes = isShort ? 8 * MIB : (cell.messageBytes === SMALL_MESSAGE_BYTES ? 16 : 64) * MIB
    for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
      for (const relay of stage.relays)
        await measureCell(stage, relay, cell, totalBytes, round < 0 ? undefined : figures)
    }
  }
  const names = stage.relays.map(({ name }) => name)
  return {
    rows: cells.flatMap((cell) => names.map((name) => figures.row(cell, name))),
    goals: createGoals(figures, names, cells),
    notes: stage.notes,
  }
}

async function measureCell(
  stage: Stage,
  relay: RunningRelay,
  { title, direction, streams, messageBytes }: Cell,
  totalBytes: number,
  figures: Figures | undefined,
): Promise<void> {
  const bytes = totalBytes / streams
  await stage.openTunnels(relay, direction === 'upload' ? `sink-${bytes}` : `source-${messageBytes}-${bytes}`, streams)
  // Whatever a relay opens behind a tunnel, for the next one, is not the cost of bytes.
  await sleep(REST_MS)
  const usage = await stage.measure(relay, () => stage.generator.ask(direction, bytes))
  await stage.release()
  if (figures === undefined) return
  const key = `${title} ${relay.name}`
  figures.cpu.add(key, usage.relayCpuMs / 1_000 / (totalBytes / GIB))
  figures.rate.add(key, totalBytes / MIB / (usage.wallMs / 1_000))
  if (usage.bottleneck !== undefined) figures.bottlenecks.add(`${key} ${usage.bottleneck}`, 1)
}

class Figures {
  /** Seconds for a GiB. */
  readonly cpu = new Samples()
  /** MiB/s. */
  readonly rate = new Samples()
  readonly bottlenecks = new Samples()

  cpuOf(cell: string, name: string): number {
    return median(this.cpu.of(`${cell} ${name}`))
  }

  /** Of two figures of the same round each: a slow second has met both. */
  ratioOf(one: string, other: string): number {
    const others = this.cpu.of(other)
    return rounded(median(this.cpu.of(one).map((value, round) => value / (others[round] ?? Number.NaN))))
  }

  row({ title }: Cell, name: string): Row {
    const key = `${title} ${name}`
    const busy = ['gateway', 'generator'].filter(
      (part) => this.bottlenecks.of(`${key} ${part}`).length > this.cpu.of(key).length / 2,
    )
    return {
      cell: title,
      relay: name,
      'CPU s/GiB': rounded(median(this.cpu.of(key))),
      'of the pipe': this.ratioOf(key, `${title} ${PIPE_NODE}`),
      'MiB/s': Math.round(median(this.rate.of(key))),
      'waits for': busy.join() || '-',
    }
  }
}

function createGoals(figures: Figures, names: readonly string[], cells: readonly Cell[]): Goal[] {
  const compare = (id: string, cell: string, [one, other]: readonly [string, string], atMost: number): Goal[] =>
    names.includes(one) && names.includes(other)
      ? [
          {
            id: `throughput/${id}/${cell}`,
            title: `CPU time for a GiB, ${cell}: ${one} against ${other}`,
            ratio: figures.ratioOf(`${cell} ${one}`, `${cell} ${other}`),
            atMost,
          },
        ]
      : []
  return [...new Set(cells.map(({ streams }) => streams))].flatMap((streams) => {
    const upload = `upload ×${streams}`
    const [large, middle, small] = [64, 16, 1].map((size) => `download ${size} KiB ×${streams}`) as [
      string,
      string,
      string,
    ]
    return [
      ...[upload, large, middle].flatMap((cell) => compare('node-pipe', cell, [OURS_NODE, PIPE_NODE], 1.15)),
      ...compare('node-pipe', small, [OURS_NODE, PIPE_NODE], 2),
      ...compare('node-textbook', upload, [OURS_NODE, TEXTBOOK_NODE], 0.5),
      // Node's: on Bun `ws` is another program, which masks natively.
      ...compare('bun-node-textbook', upload, [OURS_BUN, TEXTBOOK_NODE], 0.5),
      ...[upload, large, middle, small].flatMap((cell) => compare('bun-textbook', cell, [OURS_BUN, TEXTBOOK_BUN], 1)),
      ...(names.includes(OURS_BUN) ? [smallAgainstLarge(figures, streams, small, large)] : []),
    ]
  })
}

function smallAgainstLarge(figures: Figures, streams: number, small: string, large: string): Goal {
  return {
    id: `throughput/bun-small/×${streams}`,
    title: `CPU time for a GiB, download ×${streams}, ${OURS_BUN}: 1 KiB messages against 64 KiB`,
    ratio: rounded(figures.cpuOf(small, OURS_BUN) / figures.cpuOf(large, OURS_BUN)),
    atMost: 2,
  }
}
