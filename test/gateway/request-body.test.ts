// What is kept of a request's body for another try.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MAX_REPLAY_BYTES, RequestBody } from '#gateway/intercept/request-body.js'
import '../support/watched-process.js'

test('a body in pieces of a byte each is kept in about its own size', () => {
  const body = new RequestBody()
  const sent = Buffer.from(Array.from({ length: MAX_REPLAY_BYTES }, (_, at) => at & 0xff))
  for (let at = 0; at < sent.length; at++) body.pass(sent.subarray(at, at + 1))
  assert.ok(body.isReplayable)
  const kept = body.replay()
  assert.deepEqual(kept, sent)
  assert.ok(kept.buffer.byteLength <= 2 * MAX_REPLAY_BYTES)
})

test('of a body of one byte above the limit nothing is kept once it is passed on', () => {
  const body = new RequestBody()
  body.hold(Buffer.alloc(MAX_REPLAY_BYTES))
  assert.ok(body.isReplayable)
  body.hold(Buffer.alloc(1))
  assert.ok(body.isReplayable)
  assert.equal(body.replay().length, MAX_REPLAY_BYTES + 1)
  assert.ok(!body.isReplayable)
  assert.equal(body.replay().length, 0)
  assert.equal(body.bytes, MAX_REPLAY_BYTES + 1)
})
