// A dial that the runtime does not even begin.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { RunningProcess } from '../support/cli-process.js'
import { describeOnEachRuntime } from '../support/runtimes.js'

const HOST = fileURLToPath(new URL('./gateway-dialer-host.js', import.meta.url))

describeOnEachRuntime('the dialer', (runtime) => {
  test('a header that cannot be sent is thrown or told, and close() does not wait for what is not there', async (t) => {
    const server = createServer((socket) => socket.on('error', () => {}))
    t.after(() => void server.close())
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`
    const { exitCode, stdout, stderr } = await new RunningProcess(t, runtime.path, [HOST, url], { env: {} }).ended
    assert.deepEqual([exitCode, stderr], [0, ''])
    assert.match(stdout, /^(?:told|thrown)$/)
  })
})
