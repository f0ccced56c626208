// Everything that goes wrong between a client and its origin is found by the doctor, which names the hop and the next step.

import assert from 'node:assert/strict'
import { createServer as createHttpServer } from 'node:http'
import { after, before, describe, it } from 'node:test'
import { listen } from '../support/listening.js'
import { describeOnEachRuntime, IS_LARGE, type TestRuntime } from '../support/runtimes.js'
import { startSystem } from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'
import { checkOf, failuresOf } from './doctor-process.js'
import { examine, FAULTS, type Fault, startWorld, type World } from './faults.js'

const setup = new SharedScope()
let world: World

before(async () => {
  world = await startWorld(setup)
})
after(() => setup.end())

describeOnEachRuntime('the doctor', (runtime) => {
  describe('finds that', { concurrency: 2 }, () => {
    for (const { title, code, hop, next, check, arrange } of faultsFor(runtime)) {
      it(`${title}: ${code}`, async (t) => {
        const spoilt = await arrange(t, world)
        const found = checkOf(await examine(t, world, runtime, spoilt), check)
        assert.deepEqual({ status: found.status, code: found.code, hop: found.hop }, { status: 'fail', code, hop })
        assert.match(found.hint ?? '', next)
      })
    }

    it('the gateway serves a CA of tomorrow, though its own certificate is good', async (t) => {
      const system = await startSystem(t, { interceptionCa: world.caOfTomorrow })
      const diagnosis = await examine(t, world, runtime, { env: system.environment })
      assert.deepEqual(failuresOf(diagnosis), { 'gateway-ca': 'clock-skew' })
      assert.match(checkOf(diagnosis, 'gateway-ca').seen ?? '', /is not valid before 20\S+Z, and it is 20\S+Z here/)
    })

    it("the gateway's clock is an hour ahead", async (t) => {
      const server = createHttpServer((_request, response) => {
        response.setHeader('Date', new Date(Date.now() + 3_600_000).toUTCString()).end('')
      })
      const { address } = await listen(t, server)
      const diagnosis = await examine(t, world, runtime, { env: { CCR_UPSTREAM_PROXY_URL: `http://${address}` } })
      const { code, seen } = checkOf(diagnosis, 'clock')
      assert.deepEqual([code, seen], ['clock-skew', "the gateway's clock is 60 minutes ahead of this machine's"])
    })
  })
})

/** On Bun in the short form: those that its own sockets and TLS have a say in. */
function faultsFor({ kind }: TestRuntime): readonly Fault[] {
  if (kind === 'node' || IS_LARGE) return FAULTS
  const isOfRuntime = /^(?:gateway-(?:dns|tls|token)|egress-|certificate-|clock-)/
  return FAULTS.filter(({ code }) => isOfRuntime.test(code))
}
