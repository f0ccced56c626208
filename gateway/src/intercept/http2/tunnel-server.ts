// The HTTP/2 end that an intercepted client speaks to, over the decrypted stream of its tunnel.

import { createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import type { RawFields } from '../../fields.js'
import type { Exchanges } from '../exchanges.js'
import { Http2Downstream } from './downstream.js'
import { guardAgainstFloods } from './flood-guard.js'
import { SESSION_OPTIONS, widenConnectionWindow } from './settings.js'

/** Serves HTTP/2 on `secured` until it is closed. */
export function serveHttp2(secured: TLSSocket, exchanges: Exchanges): void {
  const server = createServer(SESSION_OPTIONS)
  server.on('session', (session) => {
    guardAgainstFloods(session)
    widenConnectionWindow(session)
  })
  // What breaks the protocol ends its session, and with it the tunnel.
  server.on('sessionError', () => secured.destroy())
  const onStream = (stream: ServerHttp2Stream, _headers: IncomingHttpHeaders, flags: number, raw: RawFields) => {
    exchanges.serve(new Http2Downstream(stream, flags, raw))
  }
  ;(server as NodeJS.EventEmitter).on('stream', onStream)
  server.emit('connection', secured)
}
