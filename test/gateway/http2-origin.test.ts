// HTTP/2 origins that leave requests undone, or break the protocol. What an origin has not begun is sent to it again, whatever
// the method; and where that cannot be, the client gets the origin's word that it may do so itself.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { encodeFields, encodeFrame, FLAG, FRAME } from '../support/raw-http2.js'
import { startGateway } from './fixture.js'
import { type FrameAnswer, startFrameOrigin } from './frame-origin.js'
import { ask } from './http2-client.js'

const REFUSED_STREAM = 7
const STATUS_200 = encodeFields([[':status', '200']])

/** A gateway before an origin of frames by hand, and an HTTP/2 connection to it. */
async function startStage(context: TestContext, answer: FrameAnswer) {
  const origin = await startFrameOrigin(context, answer)
  const gateway = await startGateway(context, { origin })
  const { session } = await gateway.openHttp2()
  context.after(() => session.destroy())
  return { origin, gateway, session }
}

function ok(streamId: number): Buffer[] {
  return [
    encodeFrame(FRAME.headers, FLAG.endHeaders, streamId, STATUS_200),
    encodeFrame(FRAME.data, FLAG.endStream, streamId, Buffer.from('ok')),
  ]
}

function refuse(streamId: number): Buffer[] {
  return [encodeFrame(FRAME.reset, 0, streamId, uint32(REFUSED_STREAM))]
}

/** @param lastStreamId what comes after it was not begun (RFC 9113, section 6.8) */
function goaway(lastStreamId: number): Buffer {
  return encodeFrame(FRAME.goaway, 0, 0, Buffer.concat([uint32(lastStreamId), uint32(0)]))
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

test('an origin that refuses a stream gets its POST again', async (context) => {
  let requests = 0
  const { gateway, session } = await startStage(context, ({ type, streamId }) => {
    if (type !== FRAME.headers) return []
    requests++
    return requests === 1 ? refuse(streamId) : ok(streamId)
  })
  const { status, text } = await ask(session, { ':method': 'POST' }, 'a body')
  assert.deepEqual([status, text], [200, 'ok'])
  const record = await gateway.nextRecord()
  assert.ok(record.mode === 'intercept' && record.requestBytes === 6 && record.error === undefined)
})

test('an origin that says goodbye before a stream gets its POST on another connection', async (context) => {
  const { origin, session } = await startStage(context, ({ type, streamId }, connection) => {
    if (type !== FRAME.headers) return []
    return connection === 1 ? [goaway(0)] : ok(streamId)
  })
  const { status, text } = await ask(session, { ':method': 'POST' }, 'a body')
  assert.deepEqual([status, text, origin.connections], [200, 'ok', 2])
})

test('an origin that takes ten requests a connection gets a hundred POSTs that came at once, each of them once', async (context) => {
  const taken = new Map<number, number>()
  const begun: number[] = []
  const { origin, session } = await startStage(context, ({ type, streamId }, connection) => {
    if (type !== FRAME.headers) return []
    const count = (taken.get(connection) ?? 0) + 1
    taken.set(connection, count)
    if (count > 10) return []
    begun.push(streamId)
    return count < 10 ? ok(streamId) : [goaway(streamId), ...ok(streamId)]
  })
  const answers = await Promise.all(Array.from({ length: 100 }, () => ask(session, { ':method': 'POST' })))
  assert.deepEqual(new Set(answers.map(({ status, text }) => `${status} ${text}`)), new Set(['200 ok']))
  assert.deepEqual([begun.length, origin.connections], [100, 10])
})

test('a request whose body is too long to be kept is given back to the client when its origin has not begun it', async (context) => {
  const UPLOAD_BYTES = 200_000
  let received = 0
  const { gateway, session } = await startStage(context, ({ type, streamId, payload }) => {
    if (type === FRAME.headers) {
      return [0, streamId].map((id) => encodeFrame(FRAME.windowUpdate, 0, id, uint32(UPLOAD_BYTES)))
    }
    if (type !== FRAME.data) return []
    received += payload.length
    return received > 100_000 && received - payload.length <= 100_000 ? refuse(streamId) : []
  })
  const { status, resetCode } = await ask(session, { ':method': 'POST' }, 'x'.repeat(UPLOAD_BYTES))
  assert.deepEqual([status, resetCode], [0, REFUSED_STREAM])
  const record = await gateway.nextRecord()
  assert.ok(record.mode === 'intercept' && record.status === 0 && record.error === 'connection-closed')
})

test('an origin that never begins a request is not asked without end', async (context) => {
  let requests = 0
  const { session } = await startStage(context, ({ type, streamId }) => {
    if (type !== FRAME.headers) return []
    requests++
    return refuse(streamId)
  })
  const { status, resetCode } = await ask(session, { ':method': 'POST' })
  assert.deepEqual([status, resetCode], [0, REFUSED_STREAM])
  assert.equal(requests, 21)
})

test('an origin that breaks the protocol is a bad gateway at once, although it leaves the connection open', async (context) => {
  const onStreamZero = encodeFrame(FRAME.data, 0, 0, Buffer.from('x'))
  const { session } = await startStage(context, ({ type }) => (type === FRAME.headers ? [onStreamZero] : []))
  const { status, text } = await ask(session, {})
  assert.equal(status, 502)
  assert.match(text, /"code":"response-invalid"/)
})

for (const [title, farewell] of [
  ['closes its connection', (_id: number) => []],
  ['says goodbye and closes its connection', (id: number) => [goaway(id)]],
] as const) {
  test(`an origin that ${title} right after a whole answer has all of it reach a client that reads slowly`, async (context) => {
    const { gateway, session, origin } = await startStage(context, ({ type, streamId }, _connection, raw) => {
      if (type !== FRAME.headers) return []
      process.nextTick(() => raw.socket.end())
      return [...longAnswer(streamId), ...farewell(streamId)]
    })
    const stream = session.request({ ':path': '/' })
    await once(stream, 'response')
    const [connection] = origin.opened
    await connection?.ended
    let bytes = 0
    for await (const piece of stream) {
      bytes += (piece as Buffer).length
      await nextTurn()
    }
    assert.deepEqual([bytes, stream.rstCode], [LONG_FRAMES * FRAME_BYTES, 0])
    const record = await gateway.nextRecord()
    assert.ok(
      record.mode === 'intercept' && record.status === 200 && record.error === undefined,
      JSON.stringify(record),
    )
    assert.equal(record.responseBytes, bytes)
  })
}

const FRAME_BYTES = 16_384
/** Below the window of a stream, and far above what a client takes that does not read. */
const LONG_FRAMES = 30

function longAnswer(streamId: number): Buffer[] {
  const frames = Array.from({ length: LONG_FRAMES }, (_, at) => {
    return encodeFrame(FRAME.data, at === LONG_FRAMES - 1 ? FLAG.endStream : 0, streamId, Buffer.alloc(FRAME_BYTES, at))
  })
  return [encodeFrame(FRAME.headers, FLAG.endHeaders, streamId, STATUS_200), ...frames]
}
