// The pictures that bench/README.md shows: which columns of which benchmarks, drawn from bench/results.json.

import { writeFileSync } from 'node:fs'
import type { Row } from './benchmark.js'
import { type Group, plot } from './plot.js'
import type { Entries } from './results.js'

interface Plan {
  readonly title: string
  /** Column that names the bars. */
  readonly bar: string
  /** How the names of this project's bars begin. */
  readonly ours: string
  /** Columns of figures, a group of bars for each; less of them is better. */
  readonly figures: readonly string[]
  /** Column with a group of bars for each of its values too. */
  readonly group?: string
}

const PLANS: Readonly<Record<string, Plan>> = {
  throughput: {
    title: 'CPU time of the relay for a GiB',
    bar: 'relay',
    ours: 'ours',
    figures: ['CPU s/GiB'],
    group: 'cell',
  },
  tunnels: {
    title: 'What a tunnel costs the relay',
    bar: 'relay',
    ours: 'ours',
    figures: ['CPU ms/tunnel', 'blocked ms'],
  },
  gateway: {
    title: 'An intercepted request',
    bar: 'proxy',
    ours: 'gateway',
    figures: ['CPU ms/request', 'median ms', 'p99 ms'],
  },
}

const FOLDER = new URL('../pictures/', import.meta.url)

/** SVG by the name of its file. */
export function drawPictures(entries: Entries): Map<string, string> {
  const drawn = new Map<string, string>()
  for (const [name, plan] of Object.entries(PLANS)) {
    const entry = entries[name]
    if (entry === undefined) continue
    const caption = `${entry.runtime}, ${entry.machine}, ${entry.date}, commit ${entry.commit}`
    drawn.set(`${name}.svg`, plot({ title: plan.title, caption, groups: groupBars(entry.rows, plan) }))
  }
  return drawn
}

export function savePictures(entries: Entries): void {
  for (const [file, svg] of drawPictures(entries)) writeFileSync(new URL(file, FOLDER), svg)
}

/** In the order of the rows; where a row has no number, it has no bar. */
function groupBars(rows: readonly Row[], { bar, ours, figures, group }: Plan): Group[] {
  const groups = new Map<string, Group>()
  for (const column of figures) {
    for (const row of rows) {
      const value = row[column]
      if (typeof value !== 'number') continue
      const title = group === undefined ? column : `${row[group]}, ${column}`
      const name = String(row[bar])
      const { bars } = groups.get(title) ?? { bars: [] }
      groups.set(title, { title, bars: [...bars, { name, value, isOurs: name.startsWith(ours) }] })
    }
  }
  return [...groups.values()]
}
