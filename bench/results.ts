// bench/results.json: the figures of the last full run of each benchmark, with when, where and of which commit they are, for
// one may have been run again alone. What is shown and drawn comes from here.

import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { arch, cpus, loadavg, platform } from 'node:os'
import type { Row } from './benchmark.js'
import type { JudgedGoal } from './bounds.js'

export interface Circumstances {
  readonly date: string
  /** The one that was checked out. */
  readonly commit: string
  readonly runtime: string
  readonly machine: string
  readonly loadAverage: string
}

export interface Figures {
  readonly rows: readonly Row[]
  readonly goals: readonly JudgedGoal[]
  readonly notes: readonly string[]
}

export type Entry = Circumstances & Figures
export type Entries = Readonly<Record<string, Entry>>

const FILE = new URL('../results.json', import.meta.url)
/** In JSON with line breaks: an object that holds no other. */
const INNERMOST_OBJECT = /\{\n[^{}]*\}/g

export function readEntries(): Entries {
  return JSON.parse(readFileSync(FILE, 'utf8')) as Entries
}

/** Those of other benchmarks stay as they are. */
export function saveEntry(name: string, entry: Entry): void {
  writeFileSync(FILE, toJson({ ...readEntries(), [name]: entry }))
}

/** A line for each row and goal, so that a difference of two runs can be read. */
export function toJson(entries: Entries): string {
  const spread = JSON.stringify(entries, null, 2)
  return `${spread.replace(INNERMOST_OBJECT, (object) => object.replace(/\n */g, ' '))}\n`
}

export function describeCircumstances(): Circumstances {
  const { bun, node } = process.versions
  const [cpu] = cpus()
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: describeCommit(),
    runtime: bun === undefined ? `Node ${node}` : `Bun ${bun}`,
    machine: `${platform()} ${arch()}, ${cpus().length} × ${cpu?.model.trim() ?? 'unknown'}`,
    loadAverage: (loadavg()[0] ?? Number.NaN).toFixed(1),
  }
}

function describeCommit(): string {
  try {
    const cwd = new URL('.', import.meta.url)
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd, encoding: 'utf8', stdio: 'pipe' }).trim()
  } catch {
    return 'unknown'
  }
}
