// What a message to the channels costs where nobody listens. What is told is in monitor.long.test.ts.

import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { test } from 'node:test'
import type { TunnelEnd, TunnelFacts, TunnelRefusal } from '#src/index.js'
import { CHANNELS } from '#src/relay/channels.js'
import { RelayMonitor } from '#src/relay/monitor.js'

test('a message is made only while somebody listens to its channel, and once for all who do', () => {
  const monitor = new RelayMonitor(undefined)
  let made: string[] = []
  /** A message that tells when it is made. */
  const message = <T>(name: string): (() => T) => {
    return () => {
      made.push(name)
      return {} as T
    }
  }
  const tellAll = (): string[] => {
    made = []
    monitor.accepted()
    monitor.connecting(message<TunnelFacts>('open'))
    monitor.established(message<TunnelFacts>('established'), 'gateway')
    monitor.refused(message<TunnelRefusal>('refuse'), 'bad-request')
    monitor.closed(message<TunnelEnd>('close'), undefined)
    return made
  }
  assert.deepEqual(tellAll(), [])
  const listeners = [() => {}, () => {}]
  for (const name of ['open', 'established', 'refuse', 'close'] as const) {
    for (const listener of listeners) subscribe(CHANNELS[name].name, listener)
    assert.deepEqual(tellAll(), [name])
    for (const listener of listeners) unsubscribe(CHANNELS[name].name, listener)
  }
  assert.deepEqual(tellAll(), [])
})
