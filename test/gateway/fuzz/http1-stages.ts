// Attacks over HTTP/1.1, one exchange after the other on one connection for as long as it holds.

import type { SeededRandom } from '../../support/seeded-random.js'
import { Http1Client } from '../http1-client.js'
import type { TunnelClient } from './arena.js'
import { type Attack, anyHost, leave, SecretWatch, send, untilOver, wait } from './attack.js'
import { randomRequest, upgradeRequest } from './http1-messages.js'
import { MAGIC } from './http2-messages.js'
import { mutate } from './mutations.js'
import type { TunnelSocket } from './tunnel-socket.js'

const MAX_EXCHANGES = 12

/** Requests that may be, with answers that may not; in the end one that is not. */
export async function http1Exchanges(attack: Attack): Promise<void> {
  const { arena, random } = attack
  const host = anyHost(random)
  const client = await arena.openTls(host, 'http/1.1')
  const secrets = new SecretWatch(client.socket)
  const http1 = new Http1Client(client.tunnel, client.socket)
  for (let left = random.below(MAX_EXCHANGES); left > 0 && client.socket.writable; left--) {
    attack.countCase()
    const request = anyRequest(random, host, attack.nextPath())
    await send(random, client.socket, request)
    if (!(await isAnswered(http1, request))) break
  }
  if (client.socket.writable) await sendLast(attack, client, lastBytes(attack, host))
  await leave(random, client)
  secrets.assertUnseen()
}

/** Many requests at once, most of them good. */
export async function http1Pipeline(attack: Attack): Promise<void> {
  const { arena, random } = attack
  const host = anyHost(random)
  const client = await arena.openTls(host, 'http/1.1')
  const secrets = new SecretWatch(client.socket)
  const requests = Array.from({ length: 2 + random.below(random.happens(0.02) ? 300 : 8) }, () => {
    return anyRequest(random, host, attack.nextPath())
  })
  // What comes after one that ends the connection is read by nobody: as a case the whole is one.
  await sendLast(
    attack,
    client,
    random.happens(0.4) ? mutate(random, Buffer.concat(requests)) : Buffer.concat(requests),
  )
  await leave(random, client)
  secrets.assertUnseen()
}

function anyRequest(random: SeededRandom, host: string, path: string): Buffer {
  return random.happens(0.05) ? upgradeRequest(host, path) : randomRequest(random, host, path)
}

function lastBytes({ random, nextPath }: Attack, host: string): Buffer {
  return random.pick([
    () => mutate(random, anyRequest(random, host, nextPath())),
    () => mutate(random, anyRequest(random, host, nextPath())),
    () => mutate(random, anyRequest(random, host, nextPath())),
    () => mutate(random, anyRequest(random, host, nextPath())),
    () => mutate(random, anyRequest(random, host, nextPath())),
    () => mutate(random, anyRequest(random, host, nextPath())),
    () => MAGIC,
    () => random.bytes(300),
    () => Buffer.alloc(40_000, '\r\n'),
    () => Buffer.alloc(70_000, 'a'),
  ])()
}

async function sendLast({ random, countCase }: Attack, { socket }: TunnelClient, bytes: Buffer): Promise<void> {
  countCase()
  const over = untilOver(socket)
  socket.resume()
  await send(random, socket, bytes)
  if (random.happens(0.7)) await wait(over)
}

/** Whether a whole answer came, after which another request may. */
async function isAnswered(http1: Http1Client<TunnelSocket>, request: Buffer): Promise<boolean> {
  let isWhole = false
  let malformed: Error | undefined
  const isForHead = request.subarray(0, 5).toString('latin1') === 'HEAD '
  const answers = async () => {
    for (;;) {
      const { status } = await http1.answer(isForHead)
      if (status >= 200 || status === 101) {
        isWhole = status !== 101
        return
      }
    }
  }
  await wait(
    answers().catch((error: Error) => {
      // Whatever an origin says, the gateway's own framing is good, or the connection is cut.
      if (error.name === 'AssertionError') malformed = error
    }),
  )
  if (malformed !== undefined) throw malformed
  return isWhole
}
