// A process that is watched from its start, or told at its start to show what it holds, does not read the token: the
// proxy stays off and the token file stays as it was. The same start opens the process where it is not hardened.
// One door a code is tried here, the others in start.long.test.ts.

import { after, describe, it } from 'node:test'
import { openStage, type Stage } from '../support/attack.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { SharedScope } from '../support/temp-dir.js'
import { doorsOf, isCore, tryDoor } from './doors.js'

const setup = new SharedScope()
const shared = process.platform === 'linux' ? await openStage(setup) : undefined
after(() => setup.end())

const skip = shared === undefined ? 'only Linux hardens' : false

const doors = new Map([
  ['node', await doorsOf({ kind: 'node' })],
  ['bun', await doorsOf({ kind: 'bun' })],
])

describeOnEachRuntime('a start that opens a door', (runtime) => {
  const stage = shared as Stage

  describe('reads no token', { concurrency: 2, skip }, () => {
    for (const door of doors.get(runtime.kind) ?? []) {
      if (!isCore(door)) continue
      it(`with ${door.title}: ${door.code}`, (t) => tryDoor(t, stage, runtime, door))
    }
  })
})
