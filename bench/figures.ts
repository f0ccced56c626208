// The little arithmetic of the bench.

export function median(values: readonly number[]): number {
  return percentile(values, 0.5)
}

/** The smallest value that `share` of all are not above; NaN when there is none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? Number.NaN
}

/** Three digits that mean something. */
export function rounded(value: number): number {
  return Number(value.toPrecision(3))
}
