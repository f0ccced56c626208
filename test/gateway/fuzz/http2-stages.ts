// Attacks over HTTP/2: many streams on one connection, for as long as it holds.

import { encodeFrame, FRAME } from '../../support/raw-http2.js'
import type { SeededRandom } from '../../support/seeded-random.js'
import type { TunnelClient } from './arena.js'
import { type Attack, anyHost, leave, SecretWatch, send, wait } from './attack.js'
import { randomRequest } from './http1-messages.js'
import { Http2Answers } from './http2-answers.js'
import {
  goawayFrame,
  MAGIC,
  perturbFrames,
  randomFrame,
  randomRequestFrames,
  randomSettings,
  windowUpdate,
} from './http2-messages.js'
import { mutate } from './mutations.js'

const MAX_BATCHES = 8
const MAX_STREAMS_AT_ONCE = 6

/** Streams side by side, and in the end what may end the connection. */
export async function http2Streams(attack: Attack): Promise<void> {
  await attackOver(attack, anyHost(attack.random))
}

/** Requests for an origin that is not reached, for its TLS is none. */
export async function http2WithoutTls(attack: Attack): Promise<void> {
  const { arena, random, tlsHost } = attack
  arena.setTlsFate(tlsHost, random)
  await attackOver(attack, tlsHost)
}

/** After ALPN: what is no HTTP/2, or breaks it at once. */
export async function atPreface(attack: Attack): Promise<void> {
  const { arena, random } = attack
  attack.countCase()
  const host = anyHost(random)
  const client = await arena.openTls(host, 'h2')
  const answers = read(client)
  await send(random, client.socket, brokenPreface(attack, host))
  if (random.happens(0.7)) await wait(answers.untilEnded([0]))
  await leave(random, client)
}

function brokenPreface({ random, nextPath }: Attack, host: string): Buffer {
  return random.pick([
    () => random.bytes(random.below(200)),
    () => randomRequest(random, host, nextPath()),
    () =>
      Buffer.concat([
        MAGIC,
        encodeFrame(FRAME.settings, random.below(2), random.below(3), random.bytes(random.below(20))),
      ]),
    () => Buffer.concat([MAGIC, encodeFrame(FRAME.ping, 0, 0, Buffer.alloc(8))]),
    () => Buffer.concat([MAGIC, randomFrame(random)]),
    () => mutate(random, Buffer.concat([MAGIC, randomSettings(random)])),
    () => MAGIC.subarray(0, random.below(MAGIC.length)),
    () => Buffer.concat([MAGIC, ...randomRequestFrames(random, 1, { host, path: nextPath() })]),
  ])()
}

async function attackOver(attack: Attack, host: string): Promise<void> {
  const { arena, random } = attack
  const client = await arena.openTls(host, 'h2')
  const secrets = new SecretWatch(client.socket)
  const answers = read(client)
  const settings = random.happens(0.2) ? randomSettings(random) : encodeFrame(FRAME.settings, 0, 0)
  client.socket.write(Buffer.concat([MAGIC, settings, windowUpdate(0, 0x4000_0000)]))
  let nextId = 1
  for (let left = 1 + random.below(MAX_BATCHES); left > 0 && !answers.isOver; left--) {
    const ids = Array.from({ length: 1 + random.below(MAX_STREAMS_AT_ONCE) }, (_, at) => nextId + 2 * at)
    nextId += 2 * ids.length
    const frames = ids.flatMap((id) => anyStream(attack, host, id))
    await send(random, client.socket, Buffer.concat(frames))
    if (!(await wait(answers.untilEnded(ids)))) break
  }
  if (!answers.isOver && random.happens(0.7)) await sendLast(attack, client, answers, host, nextId)
  await leave(random, client)
  secrets.assertUnseen()
}

/** A request that may be, one with a head that may not, or one whose frames are out of order. */
function anyStream({ random, nextPath, countCase }: Attack, host: string, id: number): Buffer[] {
  countCase()
  const frames = randomRequestFrames(random, id, { host, path: nextPath(), mutation: 0.3 })
  return random.happens(0.12) ? perturbFrames(random, frames, id) : frames
}

async function sendLast(
  { random, nextPath, countCase }: Attack,
  { socket }: TunnelClient,
  answers: Http2Answers,
  host: string,
  id: number,
): Promise<void> {
  countCase()
  const frames = randomRequestFrames(random, id, { host, path: nextPath() })
  const bytes = random.pick([
    () => mutate(random, Buffer.concat(frames)),
    () => mutate(random, Buffer.concat(frames)),
    () => Buffer.concat(withStrays(random, frames)),
    () => Buffer.concat(perturbFrames(random, frames, id)),
    () => Buffer.concat([...frames, goawayFrame(0, random.below(14))]),
    () => Buffer.concat(frames).subarray(0, random.below(200)),
  ])()
  await send(random, socket, bytes)
  if (random.happens(0.7)) await wait(answers.untilEnded([id]))
}

/** Frames of any kind between others. */
function withStrays(random: SeededRandom, frames: readonly Buffer[]): Buffer[] {
  const mixed = [...frames]
  for (let left = 1 + random.below(5); left > 0; left--) {
    mixed.splice(random.below(mixed.length + 1), 0, randomFrame(random))
  }
  return mixed
}

function read({ socket }: TunnelClient): Http2Answers {
  const answers = new Http2Answers()
  socket.on('data', (bytes: Buffer) => answers.push(bytes))
  for (const event of ['end', 'error', 'close']) socket.once(event, () => answers.end())
  return answers
}
