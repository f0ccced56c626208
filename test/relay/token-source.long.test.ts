// A token that a function lends out: what happens when it throws, or lends what cannot be sent. The relay goes on in any case.

import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { connectHead } from '../support/connect-vectors.js'
import { assertRefusal } from '../support/refusal.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { type RelayFixture, startFixture, TOKEN } from './fixture.js'

describeOnEachRuntime('a token source', (runtime) => {
  let fixture: RelayFixture
  afterEach(() => fixture.end())

  async function start(lent: string, maxWarmTunnels: number): Promise<RelayFixture> {
    fixture = await startFixture(runtime, { thread: 'main', limits: { maxWarmTunnels } }, { lent })
    return fixture
  }

  async function assertRefused(): Promise<void> {
    const client = await fixture.connect()
    client.write(connectHead('h.example:443'))
    const answer = await client.takeOnlyAnswer()
    assertRefusal(answer, 500, 'token-unavailable')
    assert.ok(!JSON.stringify(answer).includes(TOKEN))
  }

  for (const [title, lent] of [
    ['throws', ''],
    ['lends a token with a line feed', `${TOKEN}\n`],
    ['lends a token with a byte above ASCII', `${TOKEN}\xe9`],
  ] as const) {
    test(`one that ${title} refuses CONNECTs until it does so no more`, async () => {
      const { relay } = await start(lent, 0)
      await assertRefused()
      await assertRefused()
      await relay.lend(TOKEN)
      const { client } = await fixture.open()
      client.reset()
      await relay.lend(lent)
      await assertRefused()
      assert.equal(await relay.close(0), relay.initialDescriptors)
    })

    test(`one that ${title} from the start: warm tunnels rest`, async () => {
      const { relay } = await start(lent, 8)
      await fixture.relay.warm(({ isResting }) => isResting)
      await relay.lend(TOKEN)
      await fixture.relay.warm(({ ready }) => ready === 1)
    })
  }

  test('one that throws when a warm tunnel is to be replaced: the CONNECT after it is refused, and the relay goes on', async () => {
    const { relay } = await start(TOKEN, 8)
    await fixture.relay.warm(({ ready }) => ready === 1)
    await relay.lend('')
    // Over the warm one, which needs the token for its head.
    await assertRefused()
    await fixture.relay.warm(({ isResting }) => isResting)
    await assertRefused()
    await relay.lend(TOKEN)
    const { client } = await fixture.open()
    client.reset()
  })
})
