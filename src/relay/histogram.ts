// How long things took, in buckets with fixed bounds: bounded memory, nothing allocated for a measurement, and two reports can
// be subtracted. A quantile is estimated inside its bucket, as Prometheus does it.

/** A copy of a histogram. */
export interface HistogramCounts {
  /** Upper bounds of the buckets, in milliseconds, each within its bucket. */
  readonly boundsMs: readonly number[]
  /** Measurements in each bucket; the last, one more than there are bounds, is for all that took longer. */
  readonly counts: readonly number[]
  /** Of all measurements. */
  readonly count: number
  readonly sumMs: number
}

/** For parts of a start: from a warm WebSocket on loopback to the longest limit of a stage, 60 s. */
export const STAGE_BOUNDS_MS: readonly number[] = [
  1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000,
]
/** For whole tunnels: from one request to a WebSocket of a day. */
export const AGE_BOUNDS_MS: readonly number[] = [
  50, 100, 250, 500, 1_000, 5_000, 15_000, 60_000, 300_000, 1_800_000, 7_200_000, 86_400_000,
]

export class Histogram {
  readonly #boundsMs: readonly number[]
  readonly #counts: number[]
  #count = 0
  #sumMs = 0

  constructor(boundsMs: readonly number[]) {
    this.#boundsMs = boundsMs
    this.#counts = new Array(boundsMs.length + 1).fill(0)
  }

  record(ms: number): void {
    let bucket = 0
    while (bucket < this.#boundsMs.length && ms > (this.#boundsMs[bucket] as number)) bucket++
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1
    this.#count++
    this.#sumMs += ms
  }

  copy(): HistogramCounts {
    return { boundsMs: this.#boundsMs, counts: [...this.#counts], count: this.#count, sumMs: this.#sumMs }
  }
}

/**
 * The time that the share `quantile` (0 to 1) of the measurements did not exceed, in milliseconds; undefined without any. In the
 * last bucket it is the last bound, which is too low.
 */
export function estimateQuantileMs(histogram: HistogramCounts, quantile: number): number | undefined {
  const { boundsMs, counts, count } = histogram
  if (count === 0) return undefined
  const rank = quantile * count
  let below = 0
  for (const [bucket, upperMs] of boundsMs.entries()) {
    const inBucket = counts[bucket] as number
    const lowerMs = boundsMs[bucket - 1] ?? 0
    if (inBucket > 0 && below + inBucket >= rank) return lowerMs + ((upperMs - lowerMs) * (rank - below)) / inBucket
    below += inBucket
  }
  return boundsMs.at(-1)
}
