// What of a check becomes its row, where several things are said at once.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Check, Examination } from '#src/doctor/check.js'
import { UpstreamProxyError } from '#src/errors.js'

const audience = { begin: () => {}, end: () => {} }
const skipped = new UpstreamProxyError('certificate-skipped', 'one.pem: a broken block')
const exposed = new UpstreamProxyError('token-exposed', 'the token can be read')

function rowOf({ checks }: Examination, id: string): Omit<Check, 'id' | 'group'> {
  const { id: _id, group: _group, ...row } = checks.find((check) => check.id === id) as Check
  return row
}

test('a check that passes tells all that was warned of, first what it says itself', async () => {
  const examination = new Examination(audience, 1_000)
  await examination.check('bundle', () => {
    examination.logger.warn(skipped)
    examination.logger.warn(skipped)
    return { seen: 'a bundle', result: true, warning: exposed }
  })
  assert.deepEqual(rowOf(examination, 'bundle'), {
    status: 'warn',
    code: 'token-exposed',
    hop: 'machine',
    seen: 'the token can be read; one.pem: a broken block',
    hint: 'write the token file with mode 0600, a copy under umask 077; remove the broken certificate from the file that the message names',
  })
})

test('a check that fails keeps its warnings for itself', async () => {
  const examination = new Examination(audience, 1_000)
  await examination.check('bundle', () => {
    examination.logger.warn(skipped)
    throw new UpstreamProxyError('config-invalid', 'there is no certificate')
  })
  await examination.check('next', () => ({ seen: 'nothing', result: true }))
  const { status, code, seen } = rowOf(examination, 'bundle')
  assert.deepEqual([status, code, seen], ['fail', 'config-invalid', 'there is no certificate; one.pem: a broken block'])
  assert.deepEqual(rowOf(examination, 'next'), { status: 'pass', seen: 'nothing' })
})
