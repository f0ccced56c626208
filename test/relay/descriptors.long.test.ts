// What a relay does when its process has no file descriptors left: nobody is left without a word, what is open goes on, and no core
// is kept busy with it.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { connectHead } from '../support/connect-vectors.js'
import type { RawClient } from '../support/raw-client.js'
import { assertRefusal } from '../support/refusal.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { type RelayFixture, startFixture } from './fixture.js'

const LIMIT = 200
/** Enough for each to be refused again and again. */
const CLIENTS = 250

describeOnEachRuntime('the end of descriptors', (runtime) => {
  test(`of ${CLIENTS} clients with ${LIMIT} descriptors each is served or told, and what is open goes on`, async () => {
    const fixture = await startFixture(runtime, {}, { descriptorLimit: LIMIT })
    const bystander = await fixture.openBystander()
    const served: RawClient[] = []
    for (let count = 0; count < CLIENTS; count++) {
      const client = await askFor(fixture)
      if (await isServed(client)) served.push(client)
      else assertRefusal(await client.takeOnlyAnswer(), 503, 'too-many-tunnels')
    }
    assert.ok(served.length > LIMIT / 4 && served.length < LIMIT / 2, `${served.length} were served`)
    await bystander.check()
    for (const client of served) client.reset()
    await fixture.relay.tunnels(1)
    assert.ok(await isServed(await askFor(fixture)))
    await fixture.end()
  })

  test('clients that are turned away and do not leave take no more of them', async () => {
    const fixture = await startFixture(runtime, {}, { descriptorLimit: LIMIT })
    const bystander = await fixture.openBystander()
    const silent: RawClient[] = []
    for (let count = 0; count < CLIENTS; count++) silent.push(await fixture.connect())
    await bystander.check()
    const late = await askFor(fixture)
    assertRefusal(await late.takeOnlyAnswer(), 503, 'too-many-tunnels')
    for (const client of silent) client.reset()
    await fixture.relay.tunnels(1)
    assert.ok(await isServed(await askFor(fixture)))
    await fixture.end()
  })

  test('the program has taken the last one: clients are told within seconds, and no core is kept busy', async () => {
    const fixture = await startFixture(runtime, {}, { descriptorLimit: LIMIT })
    const bystander = await fixture.openBystander()
    await fixture.relay.takeDescriptors()
    // Until the relay has seen it, Node itself resets or closes the clients' connections without a word.
    let told = await askFor(fixture)
    while ((await told.ended) === 'reset' || told.received === 0) told = await askFor(fixture)
    assertRefusal(await told.takeOnlyAnswer(), 503, 'too-many-tunnels')
    const waiting = await fixture.connect()
    await waiting.ended
    const before = cpuMsOf(fixture)
    for (let round = 0; round < 20; round++) {
      await new Promise((resolve) => setTimeout(resolve, 50))
      await bystander.check()
    }
    const busyMs = cpuMsOf(fixture) - before
    assert.ok(busyMs < 500, `${busyMs} ms of CPU time in a second of rest`)
    await fixture.relay.giveDescriptors()
    let late = await askFor(fixture)
    while (!(await isServed(late))) late = await askFor(fixture)
    await fixture.end()
  })
})

async function askFor(fixture: RelayFixture): Promise<RawClient> {
  fixture.serveEcho()
  const client = await fixture.connect()
  client.write(connectHead('echo.example:443'))
  return client
}

/** Whether the answer begins as that of an open tunnel. */
async function isServed(client: RawClient): Promise<boolean> {
  await client.reached(12).catch(() => {})
  return client.peek(12).toString() === 'HTTP/1.1 200'
}

/** Milliseconds that the process has been running (proc_pid_stat(5), in ticks of 10 ms). */
function cpuMsOf({ relay }: RelayFixture): number {
  const fields = readFileSync(`/proc/${relay.child.pid}/stat`, 'latin1')
    .replace(/^.*\) /, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}
