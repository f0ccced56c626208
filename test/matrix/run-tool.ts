// A client in full: whether it is there, its cells in turn, and whether that is what was expected of it.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createTempDirectory, type Scope } from '../support/temp-dir.js'
import { type CellResult, runCell } from './cell.js'
import { runPool } from './pool.js'
import { runScript } from './run-script.js'
import { createHome, type Stage } from './stage.js'
import { CELL_KINDS, describeSource, type Tool } from './tool.js'

/** What became of a client. */
export interface ToolResult {
  readonly tool: Tool
  readonly version: string
  readonly cells: readonly CellResult[]
  /** What is not as expected; empty when all is. */
  readonly problems: readonly string[]
}

/** A client that is not there, and how to get it. */
export interface MissingTool {
  readonly tool: Tool
  readonly missing: string
}

/** A client that is there. */
export interface InstalledTool {
  readonly tool: Tool
  readonly version: string
}

/** A version is asked for on a cold cache of a busy machine. */
const VERSION_TIMEOUT_MS = 300_000
/** Compilers build something. */
const PREPARE_TIMEOUT_MS = 600_000

/** Looks for clients, `width` at a time; both lists are in the order given. */
export async function findTools(
  scope: Scope,
  tools: readonly Tool[],
  width: number,
  signal: AbortSignal,
): Promise<{ installed: InstalledTool[]; missing: MissingTool[] }> {
  // Many are clients of one program.
  const scripts = [...new Set(tools.map(({ version }) => version))]
  const versions = new Map<string, string | undefined>()
  await runPool(scripts, width, async (script) => {
    versions.set(script, await askVersion(scope, script, signal))
  })
  const installed: InstalledTool[] = []
  const missing: MissingTool[] = []
  for (const tool of tools) {
    const version = versions.get(tool.version)
    if (version !== undefined) installed.push({ tool, version })
    else missing.push({ tool, missing: `not installed; ${describeSource(tool.from)}` })
  }
  return { installed, missing }
}

async function askVersion(scope: Scope, script: string, signal: AbortSignal): Promise<string | undefined> {
  const folder = createTempDirectory(scope, 'version')
  const env = createHome(folder)
  const outcome = await runScript({ script }, { folder, env, timeoutMs: VERSION_TIMEOUT_MS, signal })
  return outcome.exitCode === 0 ? /[0-9]+(?:\.[0-9]+)+/.exec(outcome.stdout + outcome.stderr)?.[0] : undefined
}

/** Runs every cell of a client. */
export async function runTool(
  stage: Stage,
  { tool, version }: InstalledTool,
  signal: AbortSignal,
  onCell: (result: CellResult) => void = () => {},
): Promise<ToolResult> {
  const shared = await prepare(stage.scope, tool, signal)
  const cells: CellResult[] = []
  for (const kind of CELL_KINDS) {
    const result = await runCell({ stage, tool, kind, shared, signal })
    onCell(result)
    cells.push(result)
  }
  return { tool, version, cells, problems: cells.flatMap((cell) => findProblem(tool, cell) ?? []) }
}

async function prepare(scope: Scope, { id, prepare: work }: Tool, signal: AbortSignal): Promise<string> {
  const top = createTempDirectory(scope, `matrix-${id}`)
  const folder = join(top, 'shared')
  mkdirSync(folder)
  if (work === undefined) return folder
  const env = createHome(top)
  const { exitCode, stdout, stderr } = await runScript(work, { folder, env, timeoutMs: PREPARE_TIMEOUT_MS, signal })
  if (exitCode !== 0) throw new Error(`${id} could not be prepared: ${stdout}${stderr}`)
  return folder
}

/** Why a cell is red. One that passes where it is said to be impossible is red too: the list is wrong then. */
export function findProblem(tool: Tool, { kind, passed, detail }: CellResult): string | undefined {
  const reason = tool.impossible?.reason
  if (reason === undefined) return passed ? undefined : `${kind}: ${detail}`
  // What cannot use a proxy may well reach what is not behind one.
  if (kind === 'bypassed' && tool.impossible !== undefined) return undefined
  return passed ? `${kind}: works, although it is listed as impossible: ${reason}` : undefined
}
