// A limit for one wait: that it ends, and what it does not count.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import { startDeadline, withDeadline } from '#src/deadline.js'

const untilLate = (limitMs: number): Promise<void> => new Promise((resolve) => startDeadline(limitMs, resolve))

test('passes once its time is over, and not before', async () => {
  for (const limitMs of [0, 1, 100]) {
    const start = performance.now()
    await untilLate(limitMs)
    assert.ok(performance.now() - start >= limitMs)
  }
})

test('does not pass when it was cleared', async () => {
  let isLate = false
  startDeadline(10, () => {
    isLate = true
  }).clear()
  await untilLate(50)
  assert.equal(isLate, false)
})

test('does not pass before what came while the event loop was blocked is read', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [[accepted]] = (await Promise.all([once(server, 'connection'), once(client, 'connect')])) as [[Socket], unknown]
  t.after(() => client.destroy())
  const first = new Promise((resolve) => {
    startDeadline(100, () => resolve('late'))
    client.once('data', () => resolve('data'))
  })
  setTimeout(() => {
    accepted.end('x')
    const end = performance.now() + 500
    while (performance.now() < end);
  }, 0)
  assert.equal(await first, 'data')
})

test('aborts work that takes longer with the error that was asked for, and leaves other work alone', async () => {
  const error = new Error('too late')
  const endless = (late: AbortSignal) =>
    new Promise<never>((_, reject) => late.addEventListener('abort', () => reject(late.reason)))
  await assert.rejects(
    withDeadline(10, () => error, endless),
    error,
  )
  assert.equal(
    await withDeadline(
      60_000,
      () => error,
      async () => 'done',
    ),
    'done',
  )
})
