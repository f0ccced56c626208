// Whether what came over a stream of HTTP/2 is whole. Node ends the reading of a stream that was reset without an error just
// as one that was received to its end, and only one of both is a whole message (RFC 9113, section 8.1).

import type { Http2Stream } from 'node:http2'

/** Watches `stream` from its beginning; the function says whether END_STREAM came. */
export function watchEndOfStream(stream: Http2Stream): () => boolean {
  let hasEnded = false
  const push = stream.push.bind(stream)
  // Node marks a stream that is reset as closed before it ends it.
  stream.push = (chunk, encoding) => {
    if (chunk === null && !stream.closed) hasEnded = true
    return push(chunk, encoding)
  }
  return () => hasEnded
}
