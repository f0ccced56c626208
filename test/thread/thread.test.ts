// The relay in a thread of its own: for its tunnels the program may block as long as it likes. That it is otherwise as if the relay
// were in the program's own thread is in thread.long.test.ts.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { type RelayThreadChoice, startRelay } from '#src/index.js'
import { relayOptions, TOKEN } from '../relay/fixture.js'
import { connectHead } from '../support/connect-vectors.js'
import { connectRaw } from '../support/raw-client.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { createTempDirectory } from '../support/temp-dir.js'
import { exchange, openTunnel, startEchoGateway, startEchoProgram } from './echo-program.js'

describeOnEachRuntime('the thread of the relay', (runtime) => {
  test('while the program is blocked tunnels go on with thread: worker, and wait with thread: main', async (t) => {
    const [worker, main] = await Promise.all([
      startEchoProgram(t, runtime, 'worker'),
      startEchoProgram(t, runtime, 'main'),
    ])
    const [going, waiting] = [await openTunnel(t, worker.program), await openTunnel(t, main.program)]
    const unblock = join(createTempDirectory(t), 'unblock')
    for (const { program } of [worker, main]) assert.equal(await program.ask(`block ${unblock}`), 'blocked')
    const { received } = waiting
    const waited = exchange(waiting, 1)
    for (let round = 0; round < 20; round++) await exchange(going, round)
    await openTunnel(t, worker.program)
    assert.equal(waiting.received, received)
    writeFileSync(unblock, '')
    await Promise.all([waited, worker.program.next(), main.program.next()])
  })
})

test('a token that is lent out by functions stays in its thread', async (t) => {
  const gateway = await startEchoGateway(t)
  const { url: tunnelUrl, rootPem: trustedCertificates } = gateway
  const bytes = Buffer.from(TOKEN)
  const token = { withToken: <T>(use: (token: Buffer) => T): T => use(Buffer.from(bytes)) }
  await assert.rejects(startRelay({ tunnelUrl, trustedCertificates, token, thread: 'worker' }), {
    code: 'config-invalid',
  })
  const relay = await startRelay({ tunnelUrl, trustedCertificates, token })
  t.after(() => relay.close(0))
  const client = await connectRaw(relay.port)
  client.write(connectHead('echo.example:443'))
  await client.takeOpening()
  client.reset()
})

test('a word for the thread that is none is config-invalid', async (t) => {
  const gateway = await startEchoGateway(t)
  const thread = 'Worker' as RelayThreadChoice
  await assert.rejects(startRelay({ ...relayOptions(gateway), thread }), { code: 'config-invalid' })
})
