// A client that begins an HTTP/2 connection or a request head and does not end it. nghttp2 reads past JavaScript, so that only
// the count of bytes tells: it grew although no request is under way, by more than the pings that came.

import type { ServerHttp2Session } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import type { Exchanges } from '../exchanges.js'
import type { Guard } from '../guard.js'

/** RFC 9113, section 6.7: a frame's head and eight bytes. */
const PING_FRAME_BYTES = 17
/** Looks in the time of one limit. */
const LOOKS = 4

/**
 * Closes a connection without a request that has sent for `timeoutMs` what is none. Gracefully (GOAWAY): a client that was
 * merely odd opens another one.
 */
export function watchHeads(
  secured: TLSSocket,
  session: ServerHttp2Session,
  exchanges: Exchanges,
  guard: Guard,
  timeoutMs: number,
): void {
  let explainedBytes = 0
  let moved = 0
  let unexplainedSince: number | undefined = Date.now()
  guard.on(session, 'ping', () => {
    explainedBytes += PING_FRAME_BYTES
  })
  const look = () => {
    if (exchanges.size > 0 || exchanges.moved !== moved) {
      moved = exchanges.moved
      explainedBytes = secured.bytesRead
      unexplainedSince = undefined
    } else if (secured.bytesRead > explainedBytes) unexplainedSince ??= Date.now()
    if (unexplainedSince === undefined || Date.now() - unexplainedSince < timeoutMs) return
    exchanges.noteUnparsed('head-timeout')
    clearInterval(timer)
    session.close()
    secured.destroySoon()
  }
  const timer = setInterval(guard.wrap(look), timeoutMs / LOOKS)
  guard.once(secured, 'close', () => clearInterval(timer))
}
