// A client that is reset while its FIN is still on its way: libuv refuses that reset, and a handle that nobody closes
// keeps the process busy for ever when it ends.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { run } from '../support/cli-process.js'

const SCRIPT = `
  const [, runtimeUrl] = process.argv
  const { nodeRuntime } = await import(runtimeUrl)
  const { connect } = await import('node:net')
  const ignore = () => {}
  const listener = await nodeRuntime.listen(0, 1024, (client) => {
    setImmediate(() => {
      client.write(Buffer.from('the last bytes'))
      client.endWriting()
      client.reset()
    })
    const clientOnClose = () => {
      console.log('closed')
      void listener.close()
    }
    return { clientOnData: ignore, clientOnEnd: ignore, clientOnDrain: ignore, clientOnFinish: ignore, clientOnClose }
  })
  connect(listener.port, '127.0.0.1').on('error', ignore).resume()`

test('a reset behind a FIN lets the client and the process go', { timeout: 10_000 }, async (t) => {
  const args = ['--input-type=module', '-e', SCRIPT, import.meta.resolve('#src/runtime/node.js')]
  const { exitCode, stdout, stderr } = await run(t, process.execPath, args, { env: {} })
  assert.deepEqual([exitCode, stdout, stderr], [0, 'closed\n', ''])
})
