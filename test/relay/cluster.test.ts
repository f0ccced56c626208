// Relays in the workers of node:cluster, which share the ports that they listen on unless they say otherwise.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { run } from '../support/cli-process.js'
import { describeOnEachRuntime } from '../support/runtimes.js'

const HOST = fileURLToPath(new URL('./cluster-host.js', import.meta.url))

describeOnEachRuntime('in workers of a cluster', (runtime) => {
  test('each relay has a port of its own', async (t) => {
    const { stdout, stderr } = await run(t, runtime.path, [HOST], { env: {} })
    assert.equal(stderr, '')
    const ports = JSON.parse(stdout) as number[]
    assert.equal(new Set(ports).size, 2, stdout)
  })
})
