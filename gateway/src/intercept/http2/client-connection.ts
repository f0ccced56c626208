// The HTTP/2 end that an intercepted client speaks to, over the decrypted stream of its tunnel.

import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import type { RawFields } from '../../fields.js'
import type { Guard } from '../../guard.js'
import type { Exchanges } from '../exchanges.js'
import { Http2ClientExchange } from './client-exchange.js'
import { guardAgainstFloods } from './flood-guard.js'
import { watchHeads } from './head-deadline.js'
import { forgetListenersAtClose } from './native-lifetime.js'
import { CLIENT_SESSION_OPTIONS, widenConnectionWindow } from './settings.js'
import { type FrameHandler, WatchedSocket } from './watched-socket.js'

/** Serves HTTP/2 on `secured` until it is closed. */
export function serveHttp2(secured: TLSSocket, exchanges: Exchanges, guard: Guard, requestHeadTimeoutMs: number): void {
  const server = createServer(CLIENT_SESSION_OPTIONS)
  const endForError = () => {
    exchanges.abort('client-protocol-error')
    secured.destroySoon()
  }
  let session: ServerHttp2Session | undefined
  const handler: FrameHandler = {
    connectionOnError: endForError,
    connectionOnEnd: () => watched.destroyAfterWrites(),
    connectionOnDestroy: (error) => session?.destroy(error),
  }
  const watched = new WatchedSocket(secured, true, handler, guard)
  watchHeads(secured, watched, guard, requestHeadTimeoutMs, () => {
    if (exchanges.size === 0) exchanges.noteUnparsed('head-timeout')
    secured.destroySoon()
  })
  guard.on(server, 'session', (started: ServerHttp2Session) => {
    session = started
    forgetListenersAtClose(session, guard, server)
    // What breaks the protocol ends its session, and with it the tunnel.
    guard.ignoreErrors(session)
    guard.once(session, 'close', () => secured.destroySoon())
    guardAgainstFloods(session, exchanges, guard)
    widenConnectionWindow(session, guard)
  })
  guard.on(server, 'sessionError', endForError)
  guard.on(server, 'stream', (stream: ServerHttp2Stream, _headers, flags: number, raw: RawFields) => {
    // A reset shows in rstCode.
    guard.ignoreErrors(stream)
    exchanges.serve(new Http2ClientExchange(stream, flags, raw, guard))
  })
  server.emit('connection', watched)
}
