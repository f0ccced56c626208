// A benchmark's results as text.

import type { Goal, Results, Row } from './benchmark.js'
import { type Bounds, boundOf, judge } from './bounds.js'

export function formatResults({ rows, goals, notes = [] }: Results, bounds: Bounds, isShort: boolean): string {
  const verdicts = goals.map((goal) => formatGoal(goal, boundOf(goal, bounds, isShort)))
  const parts = [formatTable(rows), verdicts.join('\n'), notes.map((note) => `Note: ${note}`).join('\n')]
  return parts.filter((part) => part !== '').join('\n\n')
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

function formatGoal(goal: Goal, bound: number): string {
  const limit = goal.atMost === undefined ? `at least ${goal.atLeast}` : `at most ${goal.atMost}`
  const isOwnBound = bound === (goal.atMost ?? goal.atLeast)
  return `${judge(goal, bound).padEnd(7)}  ${goal.title}: ${goal.ratio} (${limit}${isOwnBound ? '' : `, bound ${bound}`})`
}
