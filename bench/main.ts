// npm run bench: runs benchmarks, or shows or draws the figures that were saved. The only file that prints. It ends with 1 if a
// figure was worse than its bound, with 2 if it was not called as its usage says.

import { parseArgs } from 'node:util'
import type { Benchmark, Options } from './benchmark.js'
import { judgeGoal, readBounds } from './bounds.js'
import { connect } from './connect.js'
import { echo } from './echo.js'
import { encoder } from './encoder.js'
import { gateway } from './gateway.js'
import { idleMemory } from './idle-memory.js'
import { savePictures } from './pictures.js'
import { describeCircumstances, type Entry, readEntries, saveEntry } from './results.js'
import { stalledMemory } from './stalled-memory.js'
import { startUp } from './start-up.js'
import { formatFigures, formatHeading } from './table.js'
import { throughput } from './throughput.js'
import { tunnels } from './tunnels.js'

/** In the order in which they run. */
const benchmarks: Readonly<Record<string, Benchmark>> = {
  encoder,
  throughput,
  connect,
  tunnels,
  echo,
  'idle-memory': idleMemory,
  'stalled-memory': stalledMemory,
  'start-up': startUp,
  gateway,
}

const USAGE = `usage: npm run bench -- [NAME…] [--short] [--peers]   runs them and prints the figures
       npm run bench -- [NAME…] [--peers] --save    also saves the figures, in results.json, and draws the pictures
       npm run bench -- [NAME…] --show              prints the figures that are saved
       npm run bench -- --draw                      draws the pictures from the figures that are saved
without a NAME all of:`

type Call = NonNullable<ReturnType<typeof readCall>>

const call = readCall()

if (call === undefined) {
  const lines = Object.entries(benchmarks).map(([name, { description }]) => `  ${name.padEnd(15)} ${description}`)
  console.error([USAGE, ...lines].join('\n'))
  process.exitCode = 2
} else if (call.show) {
  const entries = readEntries()
  for (const name of call.names) show(name, entries[name])
} else {
  if (!call.draw) await runAll(call)
  if (call.draw || call.save) savePictures(readEntries())
}

/** Undefined for one that is wrong. */
function readCall() {
  try {
    const { positionals, values } = parseArgs({
      allowPositionals: true,
      options: {
        short: { type: 'boolean', default: false },
        peers: { type: 'boolean', default: false },
        save: { type: 'boolean', default: false },
        show: { type: 'boolean', default: false },
        draw: { type: 'boolean', default: false },
      },
    })
    const names = positionals.length > 0 ? positionals : Object.keys(benchmarks)
    // The figures of the short form are too rough to be kept.
    const isRight = names.every((name) => Object.hasOwn(benchmarks, name)) && !(values.short && values.save)
    return isRight ? { names, ...values } : undefined
  } catch {
    return undefined
  }
}

function show(name: string, entry: Entry | undefined): void {
  console.log(
    entry === undefined ? `${name}: nothing saved` : `${formatHeading(name, entry)}\n\n${formatFigures(entry)}`,
  )
  console.log()
}

async function runAll({ names, short, peers, save }: Call): Promise<void> {
  for (const name of names) {
    const entry = await runOne(name, { isShort: short, withPeers: peers })
    if (save) saveEntry(name, entry)
    if (entry.goals.some(({ verdict }) => verdict === 'FAILED')) process.exitCode = 1
  }
}

async function runOne(name: string, options: Options): Promise<Entry> {
  const circumstances = describeCircumstances()
  console.log(`\n${formatHeading(name, circumstances)}\n`)
  const startedAt = performance.now()
  const { rows, goals, notes = [] } = await (benchmarks[name] as Benchmark).run(options)
  const bounds = readBounds()
  const figures = { rows, goals: goals.map((goal) => judgeGoal(goal, bounds, options.isShort)), notes }
  console.log(`${formatFigures(figures)}\n\n(${Math.round((performance.now() - startedAt) / 1_000)} s)`)
  return { ...circumstances, ...figures }
}
