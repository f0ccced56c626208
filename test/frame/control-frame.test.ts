// Control frames of a client, read by ws' receiver as a server has it: it refuses what is not masked or too long.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as ws from 'ws'
import { encodeCloseFrame, encodeControlFrame } from '#src/protocol/control-frame.js'
import { MaskKeys } from '#src/protocol/mask-keys.js'
import { payloadOf } from './implementations.js'

/** What is used of ws' receiver, which has no types. */
interface WsReceiver {
  on(event: 'ping' | 'pong', listener: (body: Buffer) => void): WsReceiver
  on(event: 'conclude', listener: (code: number) => void): WsReceiver
  on(event: 'error', listener: (error: Error) => void): WsReceiver
  write(bytes: Uint8Array): void
}

/** What a server reads of `frames`. */
function read(frames: readonly Uint8Array[]): (string | number)[] {
  const { Receiver } = ws as unknown as { Receiver: new (options: object) => WsReceiver }
  const seen: (string | number)[] = []
  const receiver = new Receiver({ isServer: true })
  receiver.on('error', (error) => assert.fail(error))
  for (const kind of ['ping', 'pong'] as const)
    receiver.on(kind, (body) => seen.push(`${kind} ${body.toString('hex')}`.trim()))
  receiver.on('conclude', (code) => seen.push(code))
  for (const frame of frames) receiver.write(frame)
  return seen
}

test('a server reads pings and pongs with bodies of 0 to 125 bytes', () => {
  const keys = new MaskKeys()
  for (const kind of ['ping', 'pong'] as const) {
    for (const length of [0, 1, 3, 4, 5, 125]) {
      const body = payloadOf(length)
      assert.deepEqual(read([encodeControlFrame(kind, body, keys)]), [`${kind} ${body.toString('hex')}`.trim()])
    }
  }
})

test('a server reads the code of a Close frame; 1005 is one without', () => {
  const keys = new MaskKeys()
  for (const code of [1000, 1002, 1009, 3000, 4999]) assert.deepEqual(read([encodeCloseFrame(code, keys)]), [code])
  assert.deepEqual(read([encodeCloseFrame(1005, keys)]), [1005])
  assert.equal(encodeCloseFrame(1005, keys).length, 6)
})

test('each frame is masked with the next key', () => {
  const keys = new MaskKeys((bytes) => Buffer.from(bytes.buffer).fill('0102030405060708', 'hex'))
  assert.equal(
    encodeControlFrame('ping', Buffer.from('00ff00ff00', 'hex'), keys).toString('hex'),
    '89850102030401fd03fb01',
  )
  assert.equal(encodeCloseFrame(1000, keys).toString('hex'), '88820506070806ee')
})
