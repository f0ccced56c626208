// Keeps what is native of an HTTP/2 session until what is native of its streams is gone. Node's own order is that of the garbage
// collector, and it aborts the process when a session goes first while a stream of it, destroyed with a write under way, still holds
// fields of a header block that was not received to its end (an assertion on the memory of nghttp2): any peer can bring that about.

import type { Http2Session, Http2Stream } from 'node:http2'

/** Of the whole process: it has to outlive every tunnel. It holds a session's handle for as long as the handle of a stream lives. */
const sessionHandles = new FinalizationRegistry<object>(() => {})

/** Call it while `stream` is open. */
export function keepSessionFor(stream: Http2Stream): void {
  const streamHandle = handleOf(stream)
  const sessionHandle = stream.session === undefined ? undefined : handleOf(stream.session)
  if (streamHandle !== undefined && sessionHandle !== undefined) sessionHandles.register(streamHandle, sessionHandle)
}

/** Node keeps it under a symbol of its own. */
function handleOf(owner: Http2Session | Http2Stream): object | undefined {
  const symbol = Object.getOwnPropertySymbols(owner).find(({ description }) => description === 'kHandle')
  return symbol === undefined ? undefined : (owner as unknown as Record<symbol, object | undefined>)[symbol]
}
