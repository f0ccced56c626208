// When a goal that is missed fails the run. bounds.json has for a goal's id the figure that it must not be worse than: the goal with a
// margin for noise, or, while the goal is missed, what is reached today with that margin. A goal that is not in there is its own
// bound.

import { readFileSync } from 'node:fs'
import { type Goal, isReached } from './benchmark.js'
import { rounded } from './figures.js'

export interface Bounds {
  readonly bounds: Readonly<Record<string, number>>
  /** The short form's bounds are so many times as wide, for its samples are few and small; but where it has a bound of its own. */
  readonly shortMargin: number
  readonly shortBounds: Readonly<Record<string, number>>
}

export type Verdict = 'reached' | 'missed' | 'FAILED'

export interface JudgedGoal extends Goal {
  readonly bound: number
  readonly verdict: Verdict
}

export function readBounds(): Bounds {
  return JSON.parse(readFileSync(new URL('../bounds.json', import.meta.url), 'utf8')) as Bounds
}

export function judgeGoal(goal: Goal, bounds: Bounds, isShort: boolean): JudgedGoal {
  const bound = boundOf(goal, bounds, isShort)
  return { ...goal, bound, verdict: judge(goal, bound) }
}

/** The figure that `goal` must not be worse than. */
export function boundOf(goal: Goal, { bounds, shortBounds, shortMargin }: Bounds, isShort: boolean): number {
  const id = goal.id ?? ''
  if (isShort && shortBounds[id] !== undefined) return shortBounds[id]
  const written = bounds[id]
  if (written === undefined) return goal.atMost ?? goal.atLeast ?? 0
  const margin = isShort ? shortMargin : 1
  return rounded(goal.atMost === undefined ? written / margin : written * margin)
}

/** NaN, where nothing was measured, is a failure. */
export function judge(goal: Goal, bound: number): Verdict {
  if (isReached(goal)) return 'reached'
  const isInBounds = goal.atMost === undefined ? goal.ratio >= bound : goal.ratio <= bound
  return isInBounds ? 'missed' : 'FAILED'
}
