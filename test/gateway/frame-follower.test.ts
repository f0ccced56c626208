// The frames of HTTP/2 followed by their heads, however the bytes come.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FrameFollower } from '#gateway/intercept/http2/frame-follower.js'
import { encodeFrame, FLAG, FRAME, PREFACE } from '../support/raw-http2.js'
import '../support/watched-process.js'

const GOAWAY = (code: number) => encodeFrame(FRAME.goaway, 0, 0, Buffer.from([0, 0, 0, 1, 0, 0, 0, code, 0x64, 0x65]))
const TRAFFIC = Buffer.concat([
  PREFACE,
  encodeFrame(FRAME.headers, 0, 1, Buffer.alloc(20)),
  encodeFrame(FRAME.continuation, 0, 1),
  encodeFrame(FRAME.continuation, FLAG.endHeaders, 1, Buffer.alloc(3)),
  encodeFrame(FRAME.data, 0, 1, Buffer.alloc(300, FRAME.goaway)),
  encodeFrame(FRAME.ping, 0, 0, Buffer.alloc(8)),
  GOAWAY(11),
  encodeFrame(FRAME.data, FLAG.endStream, 1),
  GOAWAY(0),
])

test('every GOAWAY is reported with its code, in whatever pieces it comes', () => {
  for (const size of [1, 2, 7, 8, 9, 10, 33, TRAFFIC.length]) {
    const codes: number[] = []
    const follower = new FrameFollower(true, (code) => codes.push(code))
    for (let at = 0; at < TRAFFIC.length; at += size) follower.push(TRAFFIC.subarray(at, at + size))
    assert.deepEqual(codes, [11, 0], `pieces of ${size}`)
    assert.equal(follower.isInHead, false)
  }
})

/** Whether the follower waits for the end of something after each byte of `bytes`. */
function waits(bytes: Buffer): boolean[] {
  const follower = new FrameFollower(true)
  follower.push(PREFACE)
  return Array.from(bytes, (byte) => {
    follower.push(Buffer.of(byte))
    return follower.isInHead
  })
}

test('a preface, a header block and a control frame are to be ended; data are not, once their type is known', () => {
  const follower = new FrameFollower(true)
  assert.equal(follower.isInHead, true)
  follower.push(PREFACE.subarray(0, 23))
  assert.equal(follower.isInHead, true)
  follower.push(PREFACE.subarray(23))
  assert.equal(follower.isInHead, false)
  const [open, close] = [
    encodeFrame(FRAME.headers, 0, 1, Buffer.alloc(2)),
    encodeFrame(FRAME.continuation, FLAG.endHeaders, 1),
  ]
  assert.deepEqual(waits(open), Array(11).fill(true))
  assert.deepEqual(waits(Buffer.concat([open, close])).at(-1), false)
  assert.deepEqual(waits(encodeFrame(FRAME.data, 0, 1, Buffer.alloc(2))), [
    ...Array(3).fill(true),
    ...Array(8).fill(false),
  ])
  assert.deepEqual(waits(encodeFrame(FRAME.ping, 0, 0, Buffer.alloc(8))), [...Array(16).fill(true), false])
})
