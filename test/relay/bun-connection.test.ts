// A connection on Bun keeps nothing of what it has told and written, neither while its peer reads slowly.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { RunningProcess } from '../support/cli-process.js'
import { deterministicBytes } from '../support/deterministic-bytes.js'
import { describeOnEachRuntime } from '../support/runtimes.js'

const HOST = fileURLToPath(new URL('./bun-connection-host.js', import.meta.url))
const MIB = 1_048_576

describeOnEachRuntime('a connection of its own', (runtime) => {
  if (runtime.kind !== 'bun') return
  test('echoes 16 MiB to a slow client, and the memory of each large read is given back', async (t) => {
    const host = new RunningProcess(t, runtime.path, [HOST], { env: {} })
    const [port] = await host.until(/^\d+(?=\n)/)
    const client = connect({ port: Number(port), host: '127.0.0.1', allowHalfOpen: true })
    const [sent, got] = [createHash('sha256'), createHash('sha256')]
    client.on('data', (bytes) => {
      got.update(bytes)
      client.pause()
      setTimeout(() => client.resume(), 1)
    })
    for (const bytes of deterministicBytes(16 * MIB)) {
      sent.update(bytes)
      if (!client.write(bytes)) await once(client, 'drain')
    }
    client.end()
    await once(client, 'close')
    assert.equal(got.digest('hex'), sent.digest('hex'))
    const { exitCode, stdout, stderr } = await host.ended
    assert.deepEqual([exitCode, stderr], [0, ''])
    const { large, kept } = JSON.parse(stdout.split('\n')[1] ?? '') as { large: number; kept: number }
    assert.ok(large > 10, `${large} large reads`)
    assert.equal(kept, 0)
  })
})
