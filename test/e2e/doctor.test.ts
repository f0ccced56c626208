// The doctor with every client that this machine has, tried for real through relay and gateway; and once with the variables
// taken away that lead to the CA, for a client that passes then was never tried.

import assert from 'node:assert/strict'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it, type TestContext } from 'node:test'
import { CHILD_VARIABLES } from '#src/system/children/variables.js'
import { type Check, diagnosisOf, runDoctor } from '../doctor/doctor-process.js'
import { IS_LARGE } from '../support/runtimes.js'
import { createSession, RULED_HOST, type System, startSystem } from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'
import type { Actor } from '../support/unprivileged.js'

const self = { own: () => {} } as unknown as Actor

/** All that bring a client to the gateway's CA; Java's proxy is told in the same variable. */
const TRUST_VARIABLES = CHILD_VARIABLES.filter(({ target, level }) => {
  return level !== 'inherited' && ['full-bundle', 'extra-certificates', 'file'].includes(target)
}).map(({ name }) => name)

describe('the doctor tries', { timeout: 120_000 }, () => {
  const scope = new SharedScope()
  let system: System

  before(async () => {
    system = await startSystem(scope)
  })
  after(() => scope.end())

  /** Against an address that answers `status`; what it is does not matter, only that it comes. */
  async function tryAll(t: TestContext, status: number, env: Readonly<Record<string, string>> = {}): Promise<Check[]> {
    const session = createSession(t, self, system.environment)
    const { checks } = diagnosisOf(
      await runDoctor(t, {
        session,
        args: ['--json', '--url', `https://${RULED_HOST}/status/${status}`],
        env: { PATH: process.env.PATH, RUSTUP_HOME: process.env.RUSTUP_HOME ?? join(homedir(), '.rustup'), ...env },
      }),
    )
    const clients = checks.filter(({ id }) => id.startsWith('client '))
    for (const { id, status: outcome, seen } of clients) t.diagnostic(`${outcome} ${id}: ${seen}`)
    return clients
  }

  it('every client that is installed, and they are answered', async (t) => {
    const clients = await tryAll(t, 404)
    assert.deepEqual(
      clients.filter(({ status }) => status === 'fail'),
      [],
    )
    // The one that is there wherever the tests are.
    assert.equal(clients.find(({ id }) => id === 'client node')?.status, 'pass')
  })

  const answers = IS_LARGE ? [200, 301, 401, 403, 500] : []
  for (const status of answers) {
    it(`clients of an origin that answers ${status}`, async (t) => {
      assert.deepEqual(
        (await tryAll(t, status)).filter((client) => client.status === 'fail'),
        [],
      )
    })
  }

  if (!IS_LARGE) return
  it('clients without a CA, and none of them passes', async (t) => {
    const clients = await tryAll(t, 404, { CCR_UPSTREAM_PROXY_ENV_EXCEPT: TRUST_VARIABLES.join(',') })
    assert.deepEqual(
      clients.filter(({ status }) => status === 'pass'),
      [],
    )
    const node = clients.find(({ id }) => id === 'client node')
    assert.deepEqual([node?.status, node?.hop], ['fail', 'client'])
  })
})
