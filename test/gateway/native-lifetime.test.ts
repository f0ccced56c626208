// A tunnel that has ended leaves nothing in memory, whatever node:http2 was doing when it did.

import assert from 'node:assert/strict'
import { createHook } from 'node:async_hooks'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { encodeFields, encodeFrame, FLAG, FRAME, PREFACE } from '../support/raw-http2.js'
import type { Scope } from '../support/temp-dir.js'
import { HOST, startGateway } from './fixture.js'
import '../support/watched-process.js'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** The sessions of HTTP/2 that begin in this process from now on, until the test ends. */
function watchSessions(scope: Scope): WeakRef<object>[] {
  const sessions: WeakRef<object>[] = []
  const hook = createHook({
    init: (_id, type, _trigger, handle) => {
      if (type === 'HTTP2SESSION') sessions.push(new WeakRef(handle))
    },
  }).enable()
  scope.after(() => void hook.disable())
  return sessions
}

const CLIENTS = 10
const MAGIC = PREFACE.subarray(0, 24)
const ask = (id: number, path: string) => {
  const pseudo = { ':method': 'GET', ':scheme': 'https', ':authority': HOST, ':path': path }
  return encodeFrame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, id, encodeFields(Object.entries(pseudo)))
}
const wideWindows = encodeFrame(FRAME.settings, 0, 0, Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff]))

/** What a client sends, and leaves after the first answer to it. */
const CLIENTS_THAT_LEAVE: readonly (readonly [title: string, bytes: Buffer])[] = [
  ['that spoke no HTTP/2', Buffer.alloc(100, 'x')],
  ['that sent no settings first', Buffer.concat([MAGIC, encodeFrame(FRAME.ping, 0, 0, Buffer.alloc(8))])],
  [
    'that went on after it broke the protocol',
    Buffer.concat([PREFACE, encodeFrame(FRAME.data, 0, 0), Buffer.alloc(100_000)]),
  ],
  [
    'that left in the middle of its answers',
    Buffer.concat([MAGIC, wideWindows, ...[1, 3, 5, 7].map((id) => ask(id, '/bytes/3000000'))]),
  ],
]

for (const [title, bytes] of CLIENTS_THAT_LEAVE) {
  test(`a client ${title} is forgotten`, { timeout: 60_000 }, async (context) => {
    const gateway = await startGateway(context)
    const sessions = watchSessions(context)
    for (let client = 0; client < CLIENTS; client++) {
      const { socket, stream } = await gateway.connect(HOST, { protocols: ['h2'] })
      socket.on('error', () => {})
      socket.write(bytes)
      await new Promise((resolve) => socket.once('data', resolve).once('close', resolve))
      stream.destroy()
      socket.destroy()
    }
    // Some garbage only lets go of more.
    while (sessions.some((session) => session.deref() !== undefined)) {
      await nextTurn()
      collectGarbage()
    }
    assert.ok(sessions.length >= CLIENTS)
  })
}
