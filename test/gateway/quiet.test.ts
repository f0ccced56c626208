// That no test of the gateway overlooks what its process does beside.

import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { assertSteadyListeners } from '../support/listener-census.js'
import '../support/watched-process.js'

const TESTS = fileURLToPath(new URL('../../gateway/', import.meta.url))
const WATCH = join(TESTS, '../support/watched-process.ts')

test('a listener that every round leaves is found, on an emitter and on a signal', async () => {
  const emitter = new EventEmitter().setMaxListeners(0)
  const { signal } = new AbortController()
  const onEmitter = async () => emitter.once('close', () => {})
  const onSignal = async () => signal.addEventListener('abort', () => {}, { once: true })
  await assert.rejects(assertSteadyListeners(onEmitter, 6), /EventEmitter has 9 listeners of close/)
  await assert.rejects(assertSteadyListeners(onSignal, 6), /AbortSignal has 9 listeners of abort/)
})

test('every test file of the gateway fails on a warning and on an unhandled rejection', () => {
  const files = readdirSync(TESTS).filter((file) => file.endsWith('.test.ts'))
  assert.ok(files.length > 50)
  assert.deepEqual(
    files.filter((file) => !leadsTo(join(TESTS, file), WATCH)),
    [],
  )
})

/** Whether a source of the tests imports another one, over any number of files. */
function leadsTo(from: string, to: string, seen = new Set<string>()): boolean {
  if (from === to) return true
  if (seen.has(from)) return false
  seen.add(from)
  const imports = [
    ...readFileSync(from, 'utf8').matchAll(/^(?:import|\} from|import .* from|export .* from) '(\.[^']+)\.js'/gm),
  ]
  return imports.some(([, name]) => leadsTo(join(dirname(from), `${name}.ts`), to, seen))
}
