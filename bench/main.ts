// node bench/dist/main.js NAME [--short] [--json FILE]: runs a benchmark, on Node or Bun. The only file that prints.
// It ends with 1 if a goal was missed, with 2 if it was not called like this.

import { writeFileSync } from 'node:fs'
import { arch, cpus, platform } from 'node:os'
import { parseArgs } from 'node:util'
import { type Benchmark, type Goal, isReached, type Results, type Row } from './benchmark.js'
import { connect } from './connect.js'
import { echo } from './echo.js'
import { encoder } from './encoder.js'
import { gateway } from './gateway.js'
import { idleMemory } from './idle-memory.js'
import { stalledMemory } from './stalled-memory.js'
import { startUp } from './start-up.js'
import { throughput } from './throughput.js'
import { tunnels } from './tunnels.js'

const benchmarks: Readonly<Record<string, Benchmark>> = {
  throughput,
  connect,
  tunnels,
  echo,
  'idle-memory': idleMemory,
  'stalled-memory': stalledMemory,
  'start-up': startUp,
  encoder,
  gateway,
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { short: { type: 'boolean', default: false }, json: { type: 'string' } },
})
const [name = ''] = positionals
const benchmark = benchmarks[name]

if (benchmark === undefined || positionals.length !== 1) {
  console.error(describeUsage())
  process.exitCode = 2
} else {
  const results = await benchmark.run({ isShort: values.short })
  print(name, results)
  if (values.json !== undefined) writeFileSync(values.json, toJson(name, values.short, results))
  if (!results.goals.every(isReached)) process.exitCode = 1
}

function describeUsage(): string {
  const lines = Object.entries(benchmarks).map(([known, { description }]) => `  ${known.padEnd(10)} ${description}`)
  return ['usage: main.js NAME [--short] [--json FILE]', ...lines].join('\n')
}

function describeRuntime(): string {
  const { bun, node } = process.versions
  return bun === undefined ? `Node ${node}` : `Bun ${bun}`
}

function describeMachine(): string {
  return `${platform()} ${arch()}, ${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}`
}

function print(title: string, { rows, goals }: Results): void {
  console.log(`${title}: ${describeRuntime()}, ${describeMachine()}\n`)
  console.log(formatTable(rows))
  console.log(`\n${goals.map(formatGoal).join('\n')}`)
}

function formatTable(rows: readonly Row[]): string {
  const columns = Object.keys(rows[0] ?? {})
  const cells = [columns, ...rows.map((row) => columns.map((column) => formatCell(row[column])))]
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => line[index]?.length ?? 0)))
  const isText = columns.map((column) => typeof rows[0]?.[column] === 'string')
  const pad = (cell: string, index: number) =>
    isText[index] ? cell.padEnd(widths[index] ?? 0) : cell.padStart(widths[index] ?? 0)
  return cells.map((line) => line.map(pad).join('  ').trimEnd()).join('\n')
}

function formatCell(value: string | number | undefined): string {
  return typeof value === 'number' ? value.toLocaleString('en') : (value ?? '')
}

function formatGoal(goal: Goal): string {
  const bound = goal.atMost === undefined ? `at least ${goal.atLeast}` : `at most ${goal.atMost}`
  return `${isReached(goal) ? 'reached' : 'MISSED '}  ${goal.title}: ${goal.ratio} (${bound})`
}

function toJson(title: string, isShort: boolean, { rows, goals }: Results): string {
  const marked = goals.map((goal) => ({ ...goal, isReached: isReached(goal) }))
  const context = { benchmark: title, isShort, runtime: describeRuntime(), machine: describeMachine() }
  return `${JSON.stringify({ ...context, rows, goals: marked }, null, 2)}\n`
}
