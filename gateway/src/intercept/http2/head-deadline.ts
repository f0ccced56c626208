// A client that begins an HTTP/2 connection, or a request head, and does not end it.

import type { TLSSocket } from 'node:tls'
import type { Guard } from '../../guard.js'
import type { WatchedSocket } from './watched-socket.js'

/** Looks in the time of one limit. */
const LOOKS = 4

/** Calls `onLate` when the peer has had `timeoutMs` for what it began; a look that comes late gives it another one. */
export function watchHeads(
  secured: TLSSocket,
  watched: WatchedSocket,
  guard: Guard,
  timeoutMs: number,
  onLate: () => void,
): void {
  let looksInHead = 0
  const look = guard.wrap(() => {
    looksInHead = watched.isInHead ? looksInHead + 1 : 0
    if (looksInHead > LOOKS) onLate()
  })
  const timer = setInterval(look, timeoutMs / LOOKS)
  guard.once(secured, 'close', () => clearInterval(timer))
}
