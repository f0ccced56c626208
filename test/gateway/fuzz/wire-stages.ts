// Attacks before there is HTTP: on the upgrade to a WebSocket, its frames and chunks, the CONNECT, and TLS.

import { connect as connectTcp, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import type { SeededRandom } from '../../support/seeded-random.js'
import { connectHead } from '../wire-client.js'
import { FUZZER, QUIET, SPLICED } from './arena.js'
import { type Attack, send, sendAndLeave, untilOver, wait } from './attack.js'
import { randomRequest } from './http1-messages.js'
import { mutate } from './mutations.js'
import { encodeClientFrame, encodeDataChunk, OPCODE, upgradeHead } from './tunnel-socket.js'

const UPGRADE = upgradeHead(FUZZER.token)
const CONNECT = Buffer.from(connectHead(`${QUIET}:443`, FUZZER))
const CONNECT_CHUNK = encodeDataChunk(CONNECT)

export async function atUpgrade(attack: Attack): Promise<void> {
  const { random } = attack
  attack.countCase()
  const bytes = random.happens(0.1) ? random.bytes(random.below(300)) : mutate(random, UPGRADE)
  await sendAndLeave(random, open(attack), bytes)
}

/** Frames, of which some are none, and some come in the wrong order. */
export async function atFrames(attack: Attack): Promise<void> {
  const { random } = attack
  attack.countCase()
  const frames = Array.from({ length: 1 + random.below(4) }, () => randomFrame(random))
  const bytes = Buffer.concat(frames)
  await sendAndLeave(
    random,
    open(attack),
    Buffer.concat([UPGRADE, random.happens(0.4) ? mutate(random, bytes) : bytes]),
  )
}

function randomFrame(random: SeededRandom): Buffer {
  const payload = random.pick([
    () => CONNECT_CHUNK,
    () => CONNECT_CHUNK,
    () => random.bytes(random.below(126)),
    () => Buffer.alloc(random.below(300)),
    () => encodeDataChunk(Buffer.alloc(0)),
  ])()
  const { binary, text, continuation, close, ping, pong } = OPCODE
  const frame = encodeClientFrame(
    random.pick([binary, binary, binary, text, continuation, close, ping, pong, 3, 11]),
    payload,
  )
  // FIN and the reserved bits, the mask's bit, and a length that is another one.
  if (random.happens(0.1)) frame[0] = (frame[0] as number) ^ (1 << (4 + random.below(4)))
  if (random.happens(0.1)) frame[1] = random.below(256)
  return frame
}

/** The field that a chunk is, in every spelling that protobuf has and in many that it has not. */
export async function atChunks(attack: Attack): Promise<void> {
  const { random } = attack
  attack.countCase()
  const [head, ...rest] = cut(random, CONNECT)
  const chunks = [encodeDataChunk(head as Buffer), ...rest.map((piece) => encodeDataChunk(piece))]
  const odd = random.pick([
    () => Buffer.from([0x10, random.below(3)]),
    () => Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, random.pick([0x07, 0x0f, 0xff])]),
    () => Buffer.from([random.below(256), random.below(256), random.below(256)]),
    () => Buffer.concat([Buffer.from([0x1a, 2, 1, 2]), CONNECT_CHUNK]),
    () => mutate(random, CONNECT_CHUNK),
    () => random.bytes(random.below(60)),
  ])()
  chunks.splice(random.below(chunks.length + 1), 0, odd)
  const frames = chunks.map((chunk) => encodeClientFrame(OPCODE.binary, chunk.subarray(0, 30_000)))
  await sendAndLeave(random, open(attack), Buffer.concat([UPGRADE, ...frames]))
}

export async function atConnect(attack: Attack): Promise<void> {
  const { random } = attack
  attack.countCase()
  const bytes = random.happens(0.1) ? random.bytes(random.below(300)) : mutate(random, CONNECT)
  const frames = cut(random, bytes).map((piece) => encodeClientFrame(OPCODE.binary, encodeDataChunk(piece)))
  await sendAndLeave(random, open(attack), Buffer.concat([UPGRADE, ...frames]))
}

/** TLS that was changed, and what is none. */
export async function atClientHello(attack: Attack): Promise<void> {
  const { arena, random } = attack
  attack.countCase()
  const hello = random.pick(await clientHellos)
  const bytes = random.pick([
    () => mutate(random, hello),
    () => mutate(random, hello),
    () => mutate(random, hello),
    () => Buffer.concat([hello, mutate(random, hello)]),
    () => random.bytes(random.below(500)),
    () => randomRequest(random, QUIET, attack.nextPath()),
    () => inRecords(random, hello),
  ])()
  await sendAndLeave(random, await arena.openTunnel(QUIET), bytes)
}

/** A tunnel without interception: bytes for an origin that wants TLS. */
export async function intoSplice(attack: Attack): Promise<void> {
  const { arena, random } = attack
  attack.countCase()
  const tunnel = await arena.openTunnel(SPLICED)
  const over = untilOver(tunnel)
  tunnel.resume()
  await send(random, tunnel, mutate(random, random.pick(await clientHellos)))
  if (random.happens(0.5)) await wait(over)
  if (random.happens(0.5)) tunnel.reset()
  tunnel.destroy()
}

function open({ arena }: Attack): Socket {
  return connectTcp(arena.port, '127.0.0.1').setNoDelay(true)
}

/** In one piece or two. */
function cut(random: SeededRandom, bytes: Buffer): Buffer[] {
  if (random.happens(0.7)) return [bytes]
  const at = random.below(bytes.length + 1)
  return [bytes.subarray(0, at), bytes.subarray(at)]
}

/** The same handshake message in records of another length (RFC 8446, section 5.1). */
function inRecords(random: SeededRandom, hello: Buffer): Buffer {
  const message = hello.subarray(5)
  const size = random.pick([1, 3, 100])
  const records: Buffer[] = []
  for (let at = 0; at < message.length; at += size) {
    const piece = message.subarray(at, at + size)
    records.push(Buffer.from([22, 3, 1, piece.length >> 8, piece.length & 0xff]), piece)
  }
  return Buffer.concat(records)
}

/** The first bytes of some TLS clients; without those of their own chance they would be the same each time. */
const clientHellos: Promise<readonly Buffer[]> = Promise.all(
  [
    { servername: QUIET, ALPNProtocols: ['h2', 'http/1.1'] },
    { servername: QUIET, ALPNProtocols: ['http/1.0'] },
    { servername: QUIET, ALPNProtocols: ['spdy/3', 'x'.repeat(255)] },
    { servername: 'other.example.com', ALPNProtocols: ['h2'] },
    { servername: '', maxVersion: 'TLSv1.2' as const },
    { servername: QUIET, maxVersion: 'TLSv1.2' as const, ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' },
  ].map((options) => {
    return new Promise<Buffer>((resolve) => {
      const wire = new Duplex({
        read() {},
        write(bytes: Buffer, _encoding, callback) {
          resolve(bytes)
          callback()
        },
      })
      connectTls({ socket: wire, ...options }).on('error', () => {})
    })
  }),
)
