// What a benchmark came to, as text.

import type { Row } from './benchmark.js'
import type { JudgedGoal } from './bounds.js'
import type { Circumstances, Figures } from './results.js'

export function formatHeading(name: string, { runtime, machine, loadAverage, date, commit }: Circumstances): string {
  return `${name}: ${runtime}, ${machine}, load average ${loadAverage}, ${date}, commit ${commit}`
}

export function formatFigures({ rows, goals, notes }: Figures): string {
  const parts = [formatTable(rows), goals.map(formatGoal).join('\n'), notes.map((note) => `Note: ${note}`).join('\n')]
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

function formatGoal({ title, ratio, atLeast, atMost, bound, verdict }: JudgedGoal): string {
  const limit = atMost === undefined ? `at least ${atLeast}` : `at most ${atMost}`
  const isOwnBound = bound === (atMost ?? atLeast)
  return `${verdict.padEnd(7)}  ${title}: ${ratio} (${limit}${isOwnBound ? '' : `, bound ${bound}`})`
}
