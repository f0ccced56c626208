// What a benchmark is: a name's run returns rows and goals, and prints nothing.

export interface Options {
  /** A few seconds at most, for a check that it works; the figures are rough. */
  readonly isShort: boolean
}

/** One line of the table; the keys are the columns, the same in every row. Units are in the keys. */
export type Row = Readonly<Record<string, string | number>>

/** A ratio of two figures of the same run, which the speed of the machine has no part in. */
export interface Goal {
  readonly title: string
  readonly ratio: number
  readonly atLeast?: number
  readonly atMost?: number
}

export interface Results {
  readonly rows: readonly Row[]
  readonly goals: readonly Goal[]
}

export interface Benchmark {
  /** One line for the list of benchmarks. */
  readonly description: string
  run(options: Options): Results | Promise<Results>
}

export function isReached({ ratio, atLeast = 0, atMost = Number.POSITIVE_INFINITY }: Goal): boolean {
  return ratio >= atLeast && ratio <= atMost
}
