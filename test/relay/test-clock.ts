// A clock of limits that shows what a test says, and never lags.

import type { LimitTime } from '#src/limit-clock.js'

export function testClock(time: () => number): LimitTime {
  return {
    get now() {
      return time()
    },
    get readUntil() {
      return time()
    },
  }
}
