// The relay of this package in the thread of the program that it lives in.

import type { RelaySettings } from '../processes/relay-host.js'
import { startWith } from './ours.js'

export function start(settings: RelaySettings): Promise<number> {
  return startWith(settings, { thread: 'main' })
}
