// The stream between node:http2 and the TLS below it.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { Guard } from '#gateway/guard.js'
import { type FrameHandler, WatchedSocket } from '#gateway/intercept/http2/watched-socket.js'
import { listen } from '../support/listening.js'
import '../support/watched-process.js'

test('a connection that is gone is let go of, although what came over it is not read any more', async (context) => {
  const server = createServer()
  const { port } = await listen(context, server)
  const client = connect(port, '127.0.0.1')
  const [socket] = (await once(server, 'connection')) as [Socket]
  const guard = new Guard((thrown) => assert.fail(thrown as Error))
  const handler: FrameHandler = {
    connectionOnError: () => {},
    connectionOnEnd: () => watched.destroy(),
    connectionOnDestroy: () => {},
  }
  const watched = new WatchedSocket(socket as TLSSocket, true, handler, guard)
  // What node:http2 does after its GOAWAY: it reads no more.
  watched.pause()
  client.end('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  await once(watched, 'close')
  assert.ok(watched.readableLength > 0)
})
