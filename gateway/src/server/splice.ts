// Two byte streams joined: the tunnel's and the origin's. The end of one direction is passed on as that; neither stream outlives the
// other for long.

import type { Socket } from 'node:net'
import type { AuditErrorCode } from '../audit/audit-record.js'
import { Guard } from '../guard.js'
import type { ChunkStream } from './chunk-stream.js'

/** After the client has left: how long what it had already sent may take on its way to the origin. */
const LINGER_MS = 10_000

/** Joins the two; resolves when the origin's is closed, with what went wrong, if anything did. */
export function splice(stream: ChunkStream, origin: Socket): Promise<AuditErrorCode | undefined> {
  return new Promise((resolve) => {
    let error: AuditErrorCode | undefined
    const guard = new Guard((thrown) => {
      error = 'internal'
      stream.fail(thrown)
      origin.destroy()
    })
    const onClientGone = () => {
      error ??= 'client-closed'
      origin.destroy()
    }
    const onOriginGone = (failure?: Error) => {
      error ??= 'upstream-aborted'
      stream.destroy(failure)
    }
    // No answer can reach the client any more; what it sent still goes out, for a bounded time.
    const onClientClose = () => {
      guard.once(
        origin,
        'close',
        guard.startDeadline(LINGER_MS, () => origin.destroy()),
      )
      origin.destroySoon()
    }
    if (origin.closed) resolve('upstream-aborted')
    guard.once(origin, 'error', onOriginGone)
    guard.once(origin, 'close', () => resolve(error))
    guard.once(stream, 'error', onClientGone)
    guard.once(stream, 'close', onClientClose)
    // Either may have gone while the other was dialled or came out of its queue: then its events were before ours.
    if (stream.destroyed) onClientGone()
    else if (origin.destroyed) onOriginGone()
    origin.allowHalfOpen = true
    guard.once(origin, 'end', () => stream.endSending())
    stream.pipe(origin)
    origin.pipe(stream, { end: false })
  })
}
