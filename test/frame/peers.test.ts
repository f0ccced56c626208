// Frames on a raw socket, read by a `ws` server and protobufjs, which share no code with the encoder.

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import protobuf from 'protobufjs'
import { WebSocketServer } from 'ws'
import { FrameEncoder } from '#src/protocol/frame.js'
import { implementations, payloadOf } from './implementations.js'

const LIMIT = 32_768
const { root } = protobuf.parse('syntax = "proto3"; message UpstreamProxyChunk { bytes data = 1; }')
const UpstreamProxyChunk = root.lookupType('UpstreamProxyChunk')

/** A server that resolves with all binary messages when the client has closed. */
async function startServer(t: TestContext): Promise<{ port: number; messages: Promise<Buffer[]> }> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false, maxPayload: LIMIT })
  t.after(() => server.close())
  await once(server, 'listening')
  const messages = new Promise<Buffer[]>((resolve, reject) => {
    server.once('connection', (socket) => {
      const received: Buffer[] = []
      socket.on('message', (message, isBinary) => {
        if (isBinary) received.push(message as Buffer)
        else reject(new Error('a text message'))
      })
      socket.once('error', reject).once('close', () => resolve(received))
    })
  })
  return { port: (server.address() as AddressInfo).port, messages }
}

/** A TCP connection with the opening handshake done by hand (RFC 6455, section 4.1). */
async function shakeHands(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  const key = randomBytes(16).toString('base64')
  socket.write(
    `GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
  )
  const [answer] = (await once(socket, 'data')) as [Buffer]
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  assert.match(answer.toString(), /^HTTP\/1\.1 101 /)
  assert.ok(answer.includes(`Sec-WebSocket-Accept: ${accept}\r\n`))
  return socket
}

/** A masked Close frame without a body, with the key of zero that only real frames must not have. */
const CLOSE_FRAME = Buffer.from('888000000000', 'hex')

for (const [name, encodeFrames] of implementations) {
  test(`a ws server and protobufjs read what was encoded (${name})`, async (t) => {
    const { port, messages } = await startServer(t)
    const socket = await shakeHands(port)
    const encoder = new FrameEncoder(LIMIT, encodeFrames)
    const lengths = [1, 47, 48, 123, 124, 127, 128, 16_384, 32_764, 32_765, 65_528, 65_536, 200_000]
    for (const [index, length] of lengths.entries()) {
      const offset = encoder.headroomFor(length) + index
      const buffer = Buffer.concat([Buffer.alloc(offset), payloadOf(length)])
      socket.write(buffer.subarray(offset - encoder.encode(buffer, offset, length)))
    }
    socket.end(CLOSE_FRAME)
    const received = await messages
    assert.ok(received.every((message) => message.length <= LIMIT))
    const payloads = received.map((message) => UpstreamProxyChunk.decode(message) as unknown as { data: Uint8Array })
    assert.ok(Buffer.concat(payloads.map(({ data }) => data)).equals(Buffer.concat(lengths.map(payloadOf))))
  })
}
