// Which listeners there are on what emits in this process, so that a test sees those that only become more.

import { EventEmitter, getEventListeners } from 'node:events'
import type { TestContext } from 'node:test'

type Listens = (this: EventEmitter, ...args: unknown[]) => EventEmitter

/** Listeners by what they are on and for. */
export type ListenerCounts = ReadonlyMap<EventEmitter | AbortSignal, ReadonlyMap<string | symbol, number>>

/** It knows what was listened to since it was made. */
export class ListenerWatch {
  readonly #emitters = new Set<EventEmitter>()
  readonly #signals = new Set<AbortSignal>()

  constructor({ mock }: Pick<TestContext, 'mock'>) {
    const [emitters, signals] = [this.#emitters, this.#signals]
    for (const name of ['on', 'addListener', 'prependListener'] as const) {
      const add = EventEmitter.prototype[name] as Listens
      mock.method(EventEmitter.prototype, name, function (this: EventEmitter, ...args: unknown[]) {
        emitters.add(this)
        return add.apply(this, args)
      } as Listens)
    }
    const add = AbortSignal.prototype.addEventListener
    const listen = function (this: AbortSignal, ...args: Parameters<typeof add>) {
      signals.add(this)
      add.apply(this, args)
    }
    mock.method(AbortSignal.prototype, 'addEventListener', listen)
  }

  count(): ListenerCounts {
    const emitters = [...this.#emitters].map((emitter) => {
      return [emitter, new Map(emitter.eventNames().map((event) => [event, emitter.listenerCount(event)]))] as const
    })
    const signals = [...this.#signals].map((signal) => {
      return [signal, new Map([['abort', getEventListeners(signal, 'abort').length]])] as const
    })
    return new Map<EventEmitter | AbortSignal, ReadonlyMap<string | symbol, number>>([...emitters, ...signals])
  }

  /** Kinds and events that have had `least` more since `before`, of what there was then. */
  grownSince(before: ListenerCounts, least: number): string[] {
    const now = this.count()
    return [...before].flatMap(([emitter, counts]) => {
      const grown = [...(now.get(emitter) ?? [])].filter(([event, count]) => count - (counts.get(event) ?? 0) >= least)
      return grown.map(([event, count]) => `${emitter.constructor.name} ${String(event)}: ${count}`)
    })
  }
}
