// Targets of NO_PROXY: many bytes, and many tunnels.

import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { after, before, test } from 'node:test'
import { connectHead } from '../support/connect-vectors.js'
import { deterministicBytes, digest } from '../support/deterministic-bytes.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { NO_PROXY, startEcho } from './bypass-target.js'
import { type RelayFixture, startFixture } from './fixture.js'

describeOnEachRuntime('targets of NO_PROXY', (runtime) => {
  let fixture: RelayFixture
  let echo: Awaited<ReturnType<typeof startEcho>>

  before(async () => {
    echo = await startEcho('127.0.77.1')
    fixture = await startFixture(runtime, { bypass: { noProxy: NO_PROXY } })
  })
  after(async () => {
    await fixture.end()
    echo.server.close()
  })

  test('32 MiB go there and come back, the same bytes, and a FIN is passed on', async () => {
    const client = await fixture.connect()
    client.write(connectHead(echo.authority))
    await client.takeOpening()
    const bytes = 32 * 1024 * 1024
    const sent = client.writeAll(deterministicBytes(bytes)).then(() => client.endWriting())
    const [, received] = await Promise.all([sent, client.digest()])
    assert.deepEqual(received, await digest(Readable.from(deterministicBytes(bytes))))
    assert.equal(await client.ended, 'fin')
  })

  test('200 at once, and no descriptor is left', async () => {
    const before = await fixture.relay.descriptors()
    await Promise.all(
      Array.from({ length: 200 }, async (_, index) => {
        const client = await fixture.connect()
        client.write(connectHead(echo.authority))
        await client.takeOpening()
        client.write(`tunnel ${index};`)
        assert.equal((await client.take(`tunnel ${index};`.length)).toString(), `tunnel ${index};`)
        if (index % 2 === 0) client.reset()
        else client.endWriting()
        await client.ended.catch(() => {})
      }),
    )
    await fixture.relay.tunnels(0)
    await fixture.relay.descriptorsAtMost(before)
  })
})
