// The results of a run: the table on the terminal, and the file that doc/clients.md is drawn from.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { MissingTool, ToolResult } from './run-tool.js'
import { CELL_KINDS, type CellKind, type Tool } from './tool.js'

/** A client in the file. */
export interface ResultRow {
  readonly id: string
  readonly name: string
  readonly does: string
  readonly version: string
  readonly cells: Readonly<Record<CellKind, 'works' | 'fails' | 'impossible'>>
  /** It does not look at the system's roots. */
  readonly hasOwnRoots: boolean
  /** What a client that does not get through needs, and why. */
  readonly note: string
}

/** The columns of the table. */
const WIDTHS = { name: 30, version: 14, cell: 13 }

/** One line a client, and what is wrong below. */
export function formatTable(results: readonly ToolResult[], missing: readonly MissingTool[]): string {
  const row = (name: string, version: string, cells: readonly string[]): string =>
    [name.padEnd(WIDTHS.name), version.padEnd(WIDTHS.version), ...cells.map((cell) => cell.padEnd(WIDTHS.cell))]
      .join(' ')
      .trimEnd()
  const lines = results.map(({ tool, version, cells, problems }) =>
    row(
      `${problems.length === 0 ? '✔' : '✖'} ${tool.name}`,
      version,
      cells.map((cell) => describeCell(tool, cell.passed)),
    ),
  )
  const skipped = missing.map(({ tool, missing }) => row(`﹣ ${tool.name}`, '', [missing]))
  const problems = results.flatMap(({ tool, problems }) => problems.map((problem) => `✖ ${tool.name}: ${problem}`))
  const head = row('  client', 'version', ['intercepted', 'passed through', 'bypassed'])
  return [head, ...lines, ...skipped, ...(problems.length === 0 ? [] : ['', ...problems])].join('\n')
}

function describeCell(tool: Tool, passed: boolean): string {
  if (passed) return 'works'
  return tool.impossible === undefined ? 'FAILS' : 'impossible'
}

/** Puts the results into the file; clients that were not in this run keep what they had. */
export function updateFile(file: string, order: readonly Tool[], results: readonly ToolResult[]): void {
  const before = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { clients: ResultRow[] }).clients : []
  const rows = new Map([...before, ...results.map(createRow)].map((row) => [row.id, row]))
  const clients = order.flatMap(({ id }) => rows.get(id) ?? [])
  writeFileSync(file, `${JSON.stringify({ system: operatingSystem(), clients }, null, 2)}\n`)
}

function createRow({ tool, version, cells, problems }: ToolResult): ResultRow {
  const { id, name, does, hasOwnRoots = false, impossible, wantsAddress } = tool
  const outcome = (kind: CellKind): 'works' | 'fails' | 'impossible' => {
    if (cells.some((cell) => cell.kind === kind && cell.passed)) return 'works'
    return tool.impossible === undefined ? 'fails' : 'impossible'
  }
  const notes = [
    ...(impossible === undefined ? [] : [`${impossible.reason}; needs ${impossible.needs}`]),
    ...(wantsAddress === undefined ? [] : [`NO_PROXY needs the address itself for ${wantsAddress}`]),
    ...(problems.length === 0 ? [] : ['not as expected in the last run']),
  ]
  const byKind = CELL_KINDS.map((kind) => [kind, outcome(kind)] as const)
  return {
    id,
    name,
    does,
    version,
    cells: Object.fromEntries(byKind) as ResultRow['cells'],
    hasOwnRoots,
    note: notes.join('; '),
  }
}

function operatingSystem(): string {
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : ''
  return /^PRETTY_NAME="?([^"\n]*)/m.exec(release)?.[1] ?? process.platform
}
