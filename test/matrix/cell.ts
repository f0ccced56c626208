// One cell: a client, and a way to its origin. The client's word is not enough for a pass: the origin must have seen it come,
// and the gateway's audit must say that it came by the way that it should have taken. Each cell has a control: the same
// script without our environment, which must not get there, or for the bypassed host, must go there by itself.

import { mkdirSync, mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { stripVTControlCharacters } from 'node:util'
import type { Origin } from './origin.js'
import { runScript, type ScriptOutcome } from './run-script.js'
import { createHome, type Stage } from './stage.js'
import type { CellKind, Target, Tool } from './tool.js'

/** A cell to be run. */
export interface Cell {
  readonly stage: Stage
  readonly tool: Tool
  readonly kind: CellKind
  /** The folder of the client's preparation. */
  readonly shared: string
  readonly signal: AbortSignal
}

/** What became of a cell. */
export interface CellResult {
  readonly kind: CellKind
  readonly passed: boolean
  /** What was missing; the client's own words where it has failed. */
  readonly detail?: string
  readonly ms: number
}

/** Most take less than a second; the slowest are a browser and Maven on a busy machine. */
const SCRIPT_TIMEOUT_MS = 300_000
/** The gateway writes the record of a tunnel when both ends have closed. */
const AUDIT_TIMEOUT_MS = 300_000

/** Runs a cell. */
export async function runCell(cell: Cell): Promise<CellResult> {
  const began = performance.now()
  const detail = (await runControl(cell)) ?? (await runReal(cell))
  const { kind } = cell
  const ms = Math.round(performance.now() - began)
  return detail === undefined ? { kind, passed: true, ms } : { kind, passed: false, detail, ms }
}

/** The client without the environment. Resolves to what is wrong with that. */
async function runControl(cell: Cell): Promise<string | undefined> {
  const { stage, tool, kind } = cell
  const origin = stage.origin(tool)
  const before = origin.connections
  const outcome = await runWork(cell, stage.target(tool, kind), {})
  const came = origin.connections > before
  if (kind === 'bypassed') {
    return came ? undefined : `control: without the environment it did not go there by itself: ${lastWords(outcome)}`
  }
  if (came) return 'control: it reached the origin without the environment'
  return hasSucceeded(outcome, origin) ? 'control: it succeeded without the environment' : undefined
}

/** The client with the relay's environment. Resolves to what is missing. */
async function runReal(cell: Cell): Promise<string | undefined> {
  const { stage, tool, kind } = cell
  const origin = stage.origin(tool)
  const target = stage.target(tool, kind)
  const requestsBefore = origin.requests.length
  const recordsBefore = stage.audit(target.host).length
  const outcome = await runWork(cell, target, stage.exported(tool))
  origin.closeConnections()
  if (!hasSucceeded(outcome, origin)) return lastWords(outcome)
  const requests = origin.requests.slice(requestsBefore)
  if (requests.length === 0) return 'it said that it succeeded, but the origin has not seen it'
  if (kind === 'intercepted' && requests.some(({ hasCredential }) => !hasCredential)) {
    return 'the origin has seen a request without the credential'
  }
  return judgeAudit(stage, target, recordsBefore)
}

/** Whether the gateway saw the client come by the way that the cell is for. */
async function judgeAudit(stage: Stage, { kind, host }: Target, before: number): Promise<string | undefined> {
  const modes = (): string[] =>
    stage
      .audit(host)
      .slice(before)
      .map(({ mode }) => mode)
  if (kind === 'bypassed') return modes().length === 0 ? undefined : `it came to the gateway: ${modes()}`
  const mode = kind === 'intercepted' ? 'intercept' : 'tunnel'
  const inTime = delay(AUDIT_TIMEOUT_MS, 'late', { ref: false })
  while (modes().length === 0) if ((await Promise.race([stage.nextRecord(host), inTime])) === 'late') break
  return modes().includes(mode) ? undefined : `the audit has ${modes().join() || 'nothing'} instead of ${mode}`
}

/** Runs the client's script in folders of its own, which go with it. */
async function runWork(
  { tool, shared, signal }: Cell,
  target: Target,
  exported: Readonly<Record<string, string>>,
): Promise<ScriptOutcome> {
  const top = mkdtempSync(join(tmpdir(), `ccr-matrix-${tool.id}-`))
  try {
    const folder = join(top, 'work')
    mkdirSync(folder)
    const env = { ...createHome(top), ...exported }
    return await runScript(tool.work(target, shared), { folder, env, timeoutMs: SCRIPT_TIMEOUT_MS, signal })
  } finally {
    await rm(top, { recursive: true, force: true, maxRetries: 3 })
  }
}

function hasSucceeded({ exitCode, stdout }: ScriptOutcome, { word }: Origin): boolean {
  return exitCode === 0 && stdout.includes(word)
}

/** The last lines that it wrote, on one line. */
function lastWords({ exitCode, stdout, stderr }: ScriptOutcome): string {
  const lines = [stdout, stderr].flatMap((text) => {
    const written = stripVTControlCharacters(text).split('\n')
    return written.filter((line) => line.trim() !== '' && !line.startsWith('Picked up JAVA_TOOL_OPTIONS')).slice(-5)
  })
  return `${exitCode === undefined ? 'killed' : `exit code ${exitCode}`}: ${lines.join(' ⏎ ').slice(-600)}`
}
