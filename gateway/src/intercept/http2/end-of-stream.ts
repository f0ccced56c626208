// How what comes over a stream of HTTP/2 ends. Node ends the reading of a stream that was reset without an error just as one that
// was received to its end, and only one of both is a whole message (RFC 9113, section 8.1).

import type { Http2Stream } from 'node:http2'

/**
 * Watches `stream`; the function says whether END_STREAM came.
 * @param onClosed both sides ended it, or the peer reset it without an error; some of it may still wait for its reader
 */
export function watchEndOfStream(stream: Http2Stream, onClosed: () => void = () => {}): () => boolean {
  // It may have come with the head.
  let hasEnded = !stream.closed && stream.state.remoteClose === 1
  const push = stream.push.bind(stream)
  // Node marks a stream as closed before it ends it for that.
  stream.push = (chunk, encoding) => {
    if (chunk === null && !stream.closed) hasEnded = true
    const wantsMore = push(chunk, encoding)
    if (chunk === null && stream.closed) onClosed()
    return wantsMore
  }
  if (stream.closed) onClosed()
  return () => hasEnded
}
