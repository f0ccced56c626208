// npm run bench -- [NAME…] [--short] [--peers] [--json FILE] [--save]: runs the benchmarks named, or all. The only file that prints.
// It ends with 1 if a figure was worse than its bound, with 2 if it was not called like this.

import { mkdirSync, writeFileSync } from 'node:fs'
import { arch, cpus, loadavg, platform } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Benchmark, Results } from './benchmark.js'
import { boundOf, judge, readBounds } from './bounds.js'
import { connect } from './connect.js'
import { echo } from './echo.js'
import { encoder } from './encoder.js'
import { gateway } from './gateway.js'
import { idleMemory } from './idle-memory.js'
import { plot } from './plot.js'
import { stalledMemory } from './stalled-memory.js'
import { startUp } from './start-up.js'
import { formatResults } from './table.js'
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

const RESULTS = fileURLToPath(new URL('../results/', import.meta.url))
const bounds = readBounds()
const { names, isShort, withPeers, json, isSaved } = readArguments()
const unknown = names.filter((name) => !(name in benchmarks))

if (unknown.length > 0) {
  console.error(describeUsage())
  process.exitCode = 2
} else {
  const reports: Report[] = []
  for (const name of names) reports.push(await runOne(name))
  if (json !== undefined) writeFileSync(json, toJson(reports))
  if (reports.some(({ goals }) => goals.some(({ verdict }) => verdict === 'FAILED'))) process.exitCode = 1
}

function readArguments() {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      short: { type: 'boolean', default: false },
      peers: { type: 'boolean', default: false },
      json: { type: 'string' },
      save: { type: 'boolean', default: false },
    },
  })
  const names = positionals.length > 0 ? positionals : Object.keys(benchmarks)
  return { names, isShort: values.short, withPeers: values.peers, json: values.json, isSaved: values.save }
}

function describeUsage(): string {
  const lines = Object.entries(benchmarks).map(([known, { description }]) => `  ${known.padEnd(15)} ${description}`)
  return ['usage: npm run bench -- [NAME…] [--short] [--peers] [--json FILE] [--save]', ...lines].join('\n')
}

/** What a benchmark came to, and where and when. */
interface Report extends ReturnType<typeof describeRun> {
  readonly rows: Results['rows']
  readonly goals: readonly { readonly bound: number; readonly verdict: string }[]
  readonly notes: readonly string[]
}

async function runOne(name: string): Promise<Report> {
  const run = describeRun(name)
  console.log(`\n${name}: ${run.runtime}, ${run.machine}, load average ${run.loadAverage}\n`)
  const startedAt = performance.now()
  const results = await (benchmarks[name] as Benchmark).run({ isShort, withPeers })
  const text = formatResults(results, bounds, isShort)
  console.log(`${text}\n\n(${Math.round((performance.now() - startedAt) / 1_000)} s)`)
  const goals = results.goals.map((goal) => {
    const bound = boundOf(goal, bounds, isShort)
    return { ...goal, bound, verdict: judge(goal, bound) }
  })
  const report = { ...run, rows: results.rows, goals, notes: results.notes ?? [] }
  if (isSaved) save(name, report, text, results)
  return report
}

function describeRun(benchmark: string) {
  const { bun, node } = process.versions
  const [cpu] = cpus()
  return {
    benchmark,
    isShort,
    runtime: bun === undefined ? `Node ${node}` : `Bun ${bun}`,
    machine: `${platform()} ${arch()}, ${cpus().length} × ${cpu?.model.trim() ?? 'unknown'}`,
    loadAverage: loadavg()[0]?.toFixed(1),
  }
}

function toJson(reports: unknown): string {
  return `${JSON.stringify(reports, null, 2)}\n`
}

/** Only when asked, so that a run leaves the tree as it was. */
function save(name: string, report: Report, text: string, { chart }: Results): void {
  mkdirSync(RESULTS, { recursive: true })
  const heading = `${name}: ${report.runtime}, ${report.machine}, load average ${report.loadAverage}`
  writeFileSync(`${RESULTS}${name}.txt`, `${heading}\n\n${text}\n`)
  writeFileSync(`${RESULTS}${name}.json`, toJson(report))
  if (chart !== undefined) writeFileSync(`${RESULTS}${name}.svg`, plot(chart))
}
