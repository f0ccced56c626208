// A listener that throws ends its own tunnel: each is added through a guard.

import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Guard } from '#gateway/guard.js'

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
  const bare = (pattern: RegExp) =>
    sources.flatMap((file) => {
      const lines = readFileSync(join(GATEWAY, file), 'utf8').split('\n')
      return lines.filter((line) => pattern.test(line)).map((line) => `${file}: ${line.trim()}`)
    })
  // It only ends what it is about.
  assert.deepEqual(bare(ADDS_LISTENER), ["intercept/tunnel-origin.ts: socket.on('data', destroyThis)"])
  // No limits, but moments: looks at what has been going on, the time of a secret and of a session, an idle connection, the end; and what
  // is guarded already, or only ends what it is about, and has to wait for a turn.
  assert.deepEqual(bare(SETS_TIMER).sort(), [
    'cli/serve.ts: setTimeout(() => process.exit(), LAST_WORDS_MS).unref()',
    'credentials/secrets/command-secret.ts: this.#timer = setTimeout(() => void this.#renew(), delayMs)',
    'intercept/http2/client-exchange.ts: const isWhole = watchEndOfStream(stream, () => process.nextTick(drop))',
    'intercept/http2/head-deadline.ts: const timer = setInterval(look, timeoutMs / LOOKS)',
    'intercept/http2/origin.ts: if (!this.isClosed) this.#session.setTimeout(this.#openRequests > 0 ? 0 : IDLE_SESSION_MS)',
    'intercept/http2/watched-socket.ts: if (this.#isOver && this.readableLength === 0) process.nextTick(() => this.destroy())',
    'sessions/session.ts: else timer = createTimer(wait, Math.min(leftMs, LOOK_INTERVAL_MS)).unref()',
    'sessions/session.ts: timer = createTimer(wait, 0).unref()',
  ])
})
