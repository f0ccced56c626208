// A listener that throws ends its own tunnel: each is added through a guard.

import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Guard } from '#gateway/guard.js'
import '../support/watched-process.js'

const GATEWAY = fileURLToPath(new URL('../../../gateway/src/', import.meta.url))

/** On any object, a call in the middle of a chain included; also as a function that is handed to what it is called on. */
const ADDS_LISTENER =
  /(?<!guard)\.(?:on|once|prepend(?:Once)?Listener|addListener|addEventListener)\(|create(?:Secure)?Server\(.*=>|\.listen\(.*=>/i
const SETS_TIMER =
  /(?<!\.)\bstartDeadline\(|\b(?:setTimeout|setInterval|setImmediate|createTimer|AbortSignal\.timeout|queueMicrotask|nextTick)\((?!.*guard)/i

test('what a listener throws goes to the guard, and the emitter goes on', () => {
  const thrown: unknown[] = []
  const guard = new Guard((error) => thrown.push(error))
  const emitter = new EventEmitter()
  const seen: number[] = []
  guard.on(emitter, 'data', (value: number) => {
    if (value === 1) throw new Error('a defect')
    seen.push(value)
  })
  guard.once(emitter, 'end', () => assert.fail('a defect at the end'))
  for (const value of [0, 1, 2]) emitter.emit('data', value)
  emitter.emit('end')
  assert.deepEqual(seen, [0, 2])
  assert.equal(thrown.length, 2)
  assert.equal(emitter.listenerCount('end'), 0)
})

test('what a listener of a signal throws, and what a promise rejects with, goes to the guard', async () => {
  const thrown: unknown[] = []
  const guard = new Guard((error) => thrown.push(error))
  const controller = new AbortController()
  guard.onAbort(controller.signal, () => assert.fail('of the signal'))
  controller.abort()
  guard.watch(Promise.reject(new Error('of the promise')))
  await nextTurn()
  assert.deepEqual(
    thrown.map((error) => (error as Error).message),
    ['of the signal', 'of the promise'],
  )
})

test('what is taken off hears nothing more', () => {
  const guard = new Guard((error) => assert.fail(error as Error))
  const emitter = new EventEmitter()
  const controller = new AbortController()
  const stops = [
    guard.on(emitter, 'data', () => assert.fail('on')),
    guard.once(emitter, 'data', () => assert.fail('once')),
    guard.onAbort(controller.signal, () => assert.fail('of the signal')),
  ]
  for (const stop of stops) stop()
  emitter.emit('data')
  controller.abort()
  assert.equal(emitter.listenerCount('data'), 0)
})

test('no listener is added and no time limited but through a guard', () => {
  const files = readdirSync(GATEWAY, { recursive: true }).map(String)
  const sources = files.filter((file) => file.endsWith('.ts') && file !== 'guard.ts')
  assert.ok(sources.length > 80)
  /** The files that do so, once for each time. */
  const bare = (pattern: RegExp) =>
    sources.sort().flatMap((file) => {
      const lines = readFileSync(join(GATEWAY, file), 'utf8').split('\n')
      return lines.filter((line) => pattern.test(line)).map(() => file)
    })
  // It only ends what it is about.
  assert.deepEqual(bare(ADDS_LISTENER), ['intercept/tunnel-origin.ts'])
  // No limits, but moments: the end of the program, the time of a secret, of a session and of an idle connection, looks at what has
  // been going on; and what is guarded already and has to wait for a turn.
  assert.deepEqual(bare(SETS_TIMER), [
    'cli/serve.ts',
    'credentials/secrets/command-secret.ts',
    'intercept/http2/client-exchange.ts',
    'intercept/http2/head-deadline.ts',
    'intercept/http2/origin.ts',
    'intercept/http2/watched-socket.ts',
    'sessions/session.ts',
    'sessions/session.ts',
  ])
})

test('the clock on the wall is asked for the validity of certificates and sessions alone: it may be set', () => {
  const asking = readdirSync(GATEWAY, { recursive: true })
    .map(String)
    .filter((file) => file.endsWith('.ts') && readFileSync(join(GATEWAY, file), 'utf8').includes('Date.now()'))
  assert.deepEqual(new Set(asking.map((file) => dirname(file))), new Set(['certificates', 'sessions']))
})
