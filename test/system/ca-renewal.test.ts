// A CA that expires is fetched again, and written beside the old one; at a time of the test's own.

import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { UpstreamProxyError } from '#src/errors.js'
import { createLogger, type LogEntry } from '#src/log.js'
import { CaRenewal } from '#src/system/certificates/ca-renewal.js'
import { createTestCa } from '../support/test-ca.js'

const HOUR_MS = 3_600_000

/** A CA that expires in so many hours. */
async function createCa(hours: number): Promise<X509Certificate> {
  return new X509Certificate((await createTestCa('some root', { days: hours / 24 })).rootPem)
}

type Answer = X509Certificate | UpstreamProxyError

/** Renews `first` by what `answer` gives for each time that it is asked. */
function startRenewal(t: TestContext, first: X509Certificate, answer: () => Answer) {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: Date.now() })
  const warnings: LogEntry[] = []
  const written: (readonly X509Certificate[])[] = []
  let asked = 0
  const download = async (): Promise<readonly X509Certificate[]> => {
    asked++
    const given = answer()
    if (given instanceof X509Certificate) return [given]
    throw given
  }
  const logger = createLogger('warn', (entry) => warnings.push(entry))
  const renewal = new CaRenewal([first], download, (certificates) => written.push(certificates), logger)
  t.after(() => renewal.stop())
  const pass = async (hours: number): Promise<number> => {
    t.mock.timers.tick(hours * HOUR_MS)
    await turn()
    return asked
  }
  return { renewal, pass, written, warnings }
}

test('a CA is fetched again after two thirds of its time, and the old one stays trusted until it expires', async (t) => {
  const [old, young] = [await createCa(6), await createCa(9 * 24)]
  const { pass, written } = startRenewal(t, old, () => young)
  assert.equal(await pass(3.9), 0)
  assert.equal(await pass(0.2), 1)
  assert.deepEqual(written, [[old, young]])
})

test('a CA that could not be fetched is tried again after two thirds of the rest, with a warning', async (t) => {
  const [old, young] = [await createCa(6), await createCa(24)]
  const answers: Answer[] = [
    new UpstreamProxyError('gateway-unreachable', 'nobody is there', { side: 'remote' }),
    young,
  ]
  const { pass, written, warnings } = startRenewal(t, old, () => answers.shift() as Answer)
  assert.equal(await pass(4.1), 1)
  assert.deepEqual(written, [])
  assert.deepEqual(
    warnings.map(({ code }) => code),
    ['ca-not-renewed'],
  )
  assert.match(warnings[0]?.message ?? '', /nobody is there/)
  assert.equal(await pass(1.1), 1)
  assert.equal(await pass(0.3), 2)
  assert.deepEqual(written, [[old, young]])
})

test('nothing is written while the gateway hands out the same', async (t) => {
  const [old, young] = [await createCa(4), await createCa(24)]
  let latest = old
  const { pass, written } = startRenewal(t, old, () => latest)
  assert.equal(await pass(2.7), 1)
  assert.equal(await pass(0.9), 2)
  assert.deepEqual(written, [])
  latest = young
  assert.equal(await pass(0.3), 3)
  assert.deepEqual(written, [[old, young]])
})

test('the old one is dropped where it has expired while the other was fetched', async (t) => {
  const [old, young] = [await createCa(2), await createCa(24)]
  const { pass, written } = startRenewal(t, old, () => {
    t.mock.timers.setTime(Date.now() + HOUR_MS)
    return young
  })
  await pass(1.5)
  assert.deepEqual(written, [[young]])
})

test('nothing is fetched once it is stopped', async (t) => {
  const old = await createCa(6)
  const { renewal, pass } = startRenewal(t, old, () => old)
  renewal.stop()
  assert.equal(await pass(5), 0)
})
