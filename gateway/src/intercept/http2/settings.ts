// The limits of an HTTP/2 connection, the same on either side of the gateway.

import type { Http2Session, SessionOptions } from 'node:http2'
import type { Guard } from '../../guard.js'
import { MAX_ANSWER_HEAD_BYTES, MAX_REQUEST_HEAD_BYTES } from '../origin-exchange.js'

/** RFC 9113, section 6.5.2, recommends no less than 100. */
export const MAX_CONCURRENT_STREAMS = 100
/** One stream: at 50 ms of round trip about 10 MB/s. */
const STREAM_WINDOW_BYTES = 524_288
/** All streams together: what one connection may hold of bodies that nobody reads. */
const CONNECTION_WINDOW_BYTES = 8_388_608

/** Towards clients. */
export const CLIENT_SESSION_OPTIONS = sessionOptions(MAX_REQUEST_HEAD_BYTES)
/** Towards origins. */
export const ORIGIN_SESSION_OPTIONS = sessionOptions(MAX_ANSWER_HEAD_BYTES)

/** @param maxHeadBytes of what is received */
function sessionOptions(maxHeadBytes: number): SessionOptions {
  return {
    // In megabytes, of all that node keeps for one connection; above the window.
    maxSessionMemory: 16,
    // A head has no more fields than this in practice; node resets the stream beyond it.
    maxHeaderListPairs: 500,
    maxSendHeaderBlockLength: MAX_ANSWER_HEAD_BYTES * 2,
    // Node's types have these three not.
    ...{ maxSettings: 32, maxSessionInvalidFrames: 100, maxSessionRejectedStreams: 100 },
    maxOutstandingPings: 10,
    settings: {
      enablePush: false,
      enableConnectProtocol: false,
      maxConcurrentStreams: MAX_CONCURRENT_STREAMS,
      maxHeaderListSize: maxHeadBytes,
      initialWindowSize: STREAM_WINDOW_BYTES,
    },
  }
}

/** RFC 9113, section 6.9.2: the connection's window is not a setting. */
export function widenConnectionWindow(session: Http2Session, guard: Guard): void {
  // Before this the session has no handle, on either side; after bytes that are no HTTP/2 it has none any more.
  guard.once(session, 'connect', () => {
    if (!session.destroyed) session.setLocalWindowSize(CONNECTION_WINDOW_BYTES)
  })
}
