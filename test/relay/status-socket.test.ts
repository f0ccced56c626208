// Sockets that do not answer, told apart: one that nobody listens on, and one whose process is too busy even to accept. Costs 0.5 s
// of CPU.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { it } from 'node:test'
import { systemCode } from '#src/errors.js'
import { RunningProcess, run } from '../support/cli-process.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { createTempDirectory, type Scope } from '../support/temp-dir.js'

const PATH = process.env.PATH ?? ''

const LISTENER = `require('node:net').createServer().listen({ path: process.argv[1], backlog: 1 }, () => console.log('ready'))`

const READER = `
const [url, path] = process.argv.slice(-2)
const { hasListener, readStatus } = await import(url)
console.log(await hasListener(path), await readStatus(path).catch(({ code }) => code))
process.exit()`

async function startListener(t: Scope, path: string): Promise<RunningProcess> {
  const listener = new RunningProcess(t, process.execPath, ['-e', LISTENER, path], { env: { PATH } })
  await listener.until(/ready/)
  return listener
}

/** Connects until the kernel lets nobody in any more. */
async function fillBacklog(t: Scope, path: string): Promise<void> {
  for (;;) {
    const visitor: Socket = connect({ path }).on('error', () => {})
    t.after(() => void visitor.destroy())
    try {
      await once(visitor, 'connect')
    } catch (error) {
      assert.equal(systemCode(error), 'EAGAIN')
      return
    }
  }
}

describeOnEachRuntime('a status socket', (runtime) => {
  const ask = async (t: Scope, path: string): Promise<string> => {
    const options = runtime.kind === 'bun' ? ['-e'] : ['--input-type=module', '-e']
    const args = [...options, READER, import.meta.resolve('#src/runtime/status-socket.js'), path]
    const { stdout, stderr } = await run(t, runtime.path, args, { env: { PATH } })
    assert.equal(stderr, '')
    return stdout
  }

  it('that was left behind has nobody who listens', async (t) => {
    const path = join(createTempDirectory(t), 'socket')
    const listener = await startListener(t, path)
    listener.kill('SIGKILL')
    await listener.ended
    assert.ok(existsSync(path))
    assert.equal(await ask(t, path), 'false relay-not-found\n')
  })

  it('whose process is stopped with a full backlog has one, who is busy', async (t) => {
    const path = join(createTempDirectory(t), 'socket')
    const listener = await startListener(t, path)
    listener.kill('SIGSTOP')
    await fillBacklog(t, path)
    assert.equal(await ask(t, path), 'true status-busy\n')
  })
})
