// A dial that the runtime does not even begin.

import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { RunningProcess } from '../support/cli-process.js'
import { listen } from '../support/listening.js'
import { describeOnEachRuntime } from '../support/runtimes.js'

const HOST = fileURLToPath(new URL('./gateway-dialer-host.js', import.meta.url))

describeOnEachRuntime('the dialer', (runtime) => {
  test('a header that cannot be sent is thrown or told, and close() does not wait for what is not there', async (t) => {
    const url = `ws://${(await listen(t, createServer())).address}`
    const { exitCode, stdout, stderr } = await new RunningProcess(t, runtime.path, [HOST, url], { env: {} }).ended
    assert.deepEqual([exitCode, stderr], [0, ''])
    assert.match(stdout, /^(?:told|thrown)$/)
  })
})
