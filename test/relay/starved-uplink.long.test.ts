// One tunnel uploads over an uplink that is slow and keeps much waiting, so that the pings of all come late: none is taken for dead.
// Costs about 3 s of CPU, and 15 s.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { RunningProcess } from '../support/cli-process.js'
import { describeOnEachRuntime } from '../support/runtimes.js'

const HOST = fileURLToPath(new URL('./starved-uplink-host.js', import.meta.url))

interface Said {
  readonly uploaded: number
  readonly longestMs: number
  readonly alive: readonly boolean[]
  readonly broken: number
  readonly warmLost: number
}

describeOnEachRuntime('an uplink that is starved', (runtime) => {
  test('breaks neither the tunnel that uploads nor those that rest', async (t) => {
    const program = new RunningProcess(t, process.execPath, [HOST, JSON.stringify(runtime)], { env: {} })
    const { exitCode, stdout, stderr } = await program.ended
    assert.deepEqual([exitCode, stderr], [0, ''])
    t.diagnostic(stdout)
    const { uploaded, longestMs, alive, broken, warmLost } = JSON.parse(stdout) as Said
    assert.deepEqual(
      { uploaded, alive, broken, warmLost },
      { uploaded: 12_582_912, alive: [true, true, true], broken: 0, warmLost: 0 },
    )
    // Else no ping was held up for as long as one may take.
    assert.ok(longestMs > 3_000, `${longestMs} ms`)
  })
})
