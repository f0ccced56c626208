// A chart out of the rows of a table.

import type { Chart, Row } from './benchmark.js'

export interface ChartPlan {
  readonly title: string
  readonly unit: string
  /** Column that names the bars. */
  readonly bar: string
  /** Columns of figures. */
  readonly values: readonly string[]
  /** Column with a group of bars for each of its values; a group for each column of figures unless given. */
  readonly group?: string
}

/** In the order of the rows; where a row has no number, it has no bar. */
export function chartOf(rows: readonly Row[], { title, unit, bar, values, group }: ChartPlan): Chart {
  const groups = new Map<string, Record<string, number>>()
  for (const value of values) {
    for (const row of rows) {
      const name = group === undefined ? value : String(row[group])
      const figure = row[value]
      if (typeof figure === 'number') groups.set(name, { ...groups.get(name), [String(row[bar])]: figure })
    }
  }
  return { title, unit, groups: Array.from(groups, ([name, bars]) => ({ title: name, bars })) }
}
