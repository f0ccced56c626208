// Finds listeners that pile up: emitters and signals that live on from request to request, and have more listeners after each.

import assert from 'node:assert/strict'
import { EventEmitter, getEventListeners } from 'node:events'

type Emitting = EventEmitter | EventTarget
type Added = (this: Emitting, ...all: never[]) => unknown

/** What adds a listener: for emitters, and for signals. */
const METHODS = [
  [EventEmitter.prototype, 'on'],
  [EventEmitter.prototype, 'addListener'],
  [EventEmitter.prototype, 'prependListener'],
  [EventTarget.prototype, 'addEventListener'],
] as const
/** What a round may still be doing when the next begins. */
const SLACK = 3

/** Everything that is given a listener while `action` runs. */
async function emittersOf(action: () => Promise<void>): Promise<Set<Emitting>> {
  const seen = new Set<Emitting>()
  const originals = METHODS.map(([prototype, name]) => {
    const methods = prototype as unknown as Record<string, Added>
    return [methods, name, methods[name] as Added] as const
  })
  for (const [methods, name, original] of originals) {
    methods[name] = function (this: Emitting, ...all) {
      seen.add(this)
      return original.apply(this, all)
    }
  }
  try {
    await action()
  } finally {
    for (const [methods, name, original] of originals) methods[name] = original
  }
  return seen
}

function countsOf(emitter: Emitting): Map<string | symbol, number> {
  const events = emitter instanceof EventEmitter ? emitter.eventNames() : ['abort']
  return new Map(events.map((event) => [event, getEventListeners(emitter, event as string).length]))
}

/** Runs `round` 30 times, and fails when something has gained listeners by the end that it had not after the third. */
export async function assertSteadyListeners(round: () => Promise<unknown>, rounds = 30): Promise<void> {
  const repeat = async (times: number) => {
    for (let count = 0; count < times; count++) await round()
  }
  const emitters = await emittersOf(() => repeat(3))
  const before = new Map(Array.from(emitters, (emitter) => [emitter, countsOf(emitter)]))
  await repeat(rounds)
  const grown = Array.from(before).flatMap(([emitter, counts]) =>
    Array.from(countsOf(emitter))
      .filter(([event, count]) => count > (counts.get(event) ?? 0) + SLACK)
      .map(([event, count]) => `${emitter.constructor.name} has ${count} listeners of ${String(event)}`),
  )
  assert.deepEqual(grown, [], `after ${rounds} rounds more`)
}
