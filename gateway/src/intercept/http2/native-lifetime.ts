// When the garbage collector takes what is native of HTTP/2: a session not before its streams, and at all. In both node leaves a way to
// any peer, to the end of the process or to all of its memory.

import type { Http2Server, Http2Session, Http2Stream } from 'node:http2'
import type { Guard } from '../../guard.js'

/** Of the whole process: it has to outlive every tunnel. It holds a session's handle for as long as the handle of a stream lives. */
const sessionHandles = new FinalizationRegistry<object>(() => {})

/**
 * Keeps what is native of its session until what is native of `stream` is gone. Node's own order is the collector's, and it aborts the
 * process when a session goes first while a stream of it, destroyed with a write under way, still holds fields of a header block that
 * was not received to its end (an assertion on the memory of nghttp2). Call it while the stream is open.
 */
export function keepSessionFor(stream: Http2Stream): void {
  const streamHandle = handleOf(stream)
  const sessionHandle = stream.session === undefined ? undefined : handleOf(stream.session)
  if (streamHandle !== undefined && sessionHandle !== undefined) sessionHandles.register(streamHandle, sessionHandle)
}

/**
 * Lets `session` be collected once it is closed. Node roots the callback of settings that the peer has not acknowledged, and with it the
 * session; an error of the session holds its handle, by the receivers in its stack, and the handle holds the settings. Only listeners
 * lead from a session to its errors, its own and those of its server, so that they are cut off: else each connection that fails at once
 * would stay in memory, tunnel and all.
 */
export function forgetListenersAtClose(session: Http2Session, guard: Guard, server?: Http2Server): void {
  guard.once(session, 'close', () => {
    server?.removeAllListeners()
    session.removeAllListeners()
    guard.ignoreErrors(session)
  })
}

/** Node keeps it under a symbol of its own. */
function handleOf(owner: Http2Session | Http2Stream): object | undefined {
  const symbol = Object.getOwnPropertySymbols(owner).find(({ description }) => description === 'kHandle')
  return symbol === undefined ? undefined : (owner as unknown as Record<symbol, object | undefined>)[symbol]
}
