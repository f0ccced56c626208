// What a benchmark is: a name's run returns rows, goals and notes, and prints nothing.

export interface Options {
  /** A few seconds at most, for a check that it works; the figures are rough. */
  readonly isShort: boolean
  /** Peers that npm has take part too, where a benchmark has a place for them. */
  readonly withPeers?: boolean
}

/** One line of the table; the keys are the columns, the same in every row. Units are in the keys. */
export type Row = Readonly<Record<string, string | number>>

/** A figure that is aimed at: mostly a ratio of two figures of the same run, which the speed of the machine has no part in. */
export interface Goal {
  /** Its name in bounds.json, where it has a bound that is not the goal itself. */
  readonly id?: string
  readonly title: string
  readonly ratio: number
  readonly atLeast?: number
  readonly atMost?: number
}

export interface Results {
  readonly rows: readonly Row[]
  readonly goals: readonly Goal[]
  /** What was left out and why, and what casts doubt on a figure. */
  readonly notes?: readonly string[]
}

export interface Benchmark {
  /** One line for the list of benchmarks. */
  readonly description: string
  run(options: Options): Results | Promise<Results>
}

export function isReached({ ratio, atLeast = 0, atMost = Number.POSITIVE_INFINITY }: Goal): boolean {
  return ratio >= atLeast && ratio <= atMost
}
