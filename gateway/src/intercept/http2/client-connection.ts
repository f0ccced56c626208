// The HTTP/2 end that an intercepted client speaks to, over the decrypted stream of its tunnel.

import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import type { RawFields } from '../../fields.js'
import type { Exchanges } from '../exchanges.js'
import type { Guard } from '../guard.js'
import { Http2ClientExchange } from './client-exchange.js'
import { guardAgainstFloods } from './flood-guard.js'
import { watchHeads } from './head-deadline.js'
import { CLIENT_SESSION_OPTIONS, widenConnectionWindow } from './settings.js'

/** Serves HTTP/2 on `secured` until it is closed. */
export function serveHttp2(secured: TLSSocket, exchanges: Exchanges, guard: Guard, requestHeadTimeoutMs: number): void {
  const server = createServer(CLIENT_SESSION_OPTIONS)
  guard.on(server, 'session', (session: ServerHttp2Session) => {
    // What breaks the protocol ends its session, and with it the tunnel.
    guard.ignoreErrors(session)
    guard.once(session, 'close', () => secured.destroySoon())
    guardAgainstFloods(session, exchanges, guard)
    widenConnectionWindow(session, guard)
    watchHeads(secured, session, exchanges, guard, requestHeadTimeoutMs)
  })
  guard.on(server, 'sessionError', () => secured.destroy())
  guard.on(server, 'stream', (stream: ServerHttp2Stream, _headers, flags: number, raw: RawFields) => {
    // A reset shows in rstCode.
    guard.ignoreErrors(stream)
    exchanges.serve(new Http2ClientExchange(stream, flags, raw, guard))
  })
  server.emit('connection', secured)
}
