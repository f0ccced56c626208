// A listener that throws ends its own tunnel: each is added through a guard.

import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Guard } from '#gateway/intercept/guard.js'

const INTERCEPT = fileURLToPath(new URL('../../../gateway/src/intercept/', import.meta.url))

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

test('in intercept/ no listener is added but through a guard', () => {
  const files = readdirSync(INTERCEPT, { recursive: true }).map(String)
  const sources = files.filter((file) => file.endsWith('.ts') && file !== 'guard.ts')
  assert.ok(sources.length > 15)
  const bare = sources.flatMap((file) => {
    const lines = readFileSync(join(INTERCEPT, file), 'utf8').split('\n')
    return lines
      .filter((line) => /(?<!guard)\.(?:on|once|prependListener|addListener)\(/i.test(line))
      .map((line) => `${file}: ${line.trim()}`)
  })
  // One that only ends what it is about, and one that only stops a timer.
  assert.deepEqual(bare.sort(), [
    "http1/origin.ts: switched.once('close', () => clearTimeout(timer)).resume()",
    "tunnel-origin.ts: socket.on('data', destroyThis)",
  ])
})
