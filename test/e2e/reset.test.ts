// A client that is reset while its FIN is still on its way: libuv refuses that reset, and a handle that nobody closes
// keeps the process busy for ever when it ends. Where the client does not read, the FIN never gets on its way at all.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { run } from '../support/cli-process.js'

const SCRIPT = `
  const [, runtimeUrl, length] = process.argv
  const { nodeRuntime } = await import(runtimeUrl)
  const { connect } = await import('node:net')
  const ignore = () => {}
  const listener = await nodeRuntime.listen(0, 1024, (client) => {
    setImmediate(() => {
      client.write(Buffer.alloc(Number(length)))
      client.endWriting()
      client.reset()
    })
    const connectionOnClose = () => {
      console.log('closed')
      void listener.close()
    }
    client.start({ connectionOnData: ignore, connectionOnEnd: ignore, connectionOnDrain: ignore, connectionOnFinish: ignore, connectionOnClose })
  })
  const socket = connect(listener.port, '127.0.0.1').on('error', ignore).on('close', () => socket.destroy())
  if (Number(length) < 100) socket.resume()`

const CASES = [
  { title: 'a reset behind a FIN lets the client and the process go', length: 14 },
  // More than the socket buffers of both sides hold.
  { title: 'a reset behind a FIN does not wait for a client that does not read', length: 64 * 1024 * 1024 },
]

for (const { title, length } of CASES) {
  test(title, { timeout: 1_800_000 }, async (t) => {
    const runtimeUrl = import.meta.resolve('#src/runtime/node.js')
    const args = ['--input-type=module', '-e', SCRIPT, runtimeUrl, `${length}`]
    const { exitCode, stdout, stderr } = await run(t, process.execPath, args, { env: {} })
    assert.deepEqual([exitCode, stdout, stderr], [0, 'closed\n', ''])
  })
}
