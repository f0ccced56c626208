// Finds listeners that pile up: emitters that live on from request to request, and have more listeners after each.

import assert from 'node:assert/strict'
import { EventEmitter, getEventListeners } from 'node:events'

type Added = (this: EventEmitter, event: string | symbol, ...rest: never[]) => EventEmitter

const METHODS = ['on', 'addListener', 'prependListener'] as const
/** What a round may still be doing when the next begins. */
const SLACK = 3

/** Every emitter that is given a listener while `action` runs. */
async function emittersOf(action: () => Promise<void>): Promise<Set<EventEmitter>> {
  const seen = new Set<EventEmitter>()
  const prototype = EventEmitter.prototype as unknown as Record<string, Added>
  const originals = METHODS.map((name) => [name, prototype[name] as Added] as const)
  for (const [name, original] of originals) {
    prototype[name] = function (this: EventEmitter, ...all) {
      seen.add(this)
      return original.apply(this, all)
    }
  }
  try {
    await action()
  } finally {
    for (const [name, original] of originals) prototype[name] = original
  }
  return seen
}

function countsOf(emitter: EventEmitter): Map<string | symbol, number> {
  return new Map(emitter.eventNames().map((event) => [event, getEventListeners(emitter, event).length]))
}

/** Runs `round` 30 times, and fails when an emitter has gained listeners by the end that it had not after the third. */
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
