// One client that attacks, from its coming to its leaving. What it does is a stage's business (the *-stages.ts); here is how it sends,
// how long it waits, and how it leaves.

import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import type { SeededRandom } from '../../support/seeded-random.js'
import { type Arena, HOSTILE, QUIET, type TunnelClient } from './arena.js'
import { cutAnywhere } from './mutations.js'
import { SECRET } from './origins.js'
import { encodeClientFrame, OPCODE, type TunnelSocket } from './tunnel-socket.js'

export interface Attack {
  readonly arena: Arena
  readonly random: SeededRandom
  /** A host of this client alone, for which it may choose what becomes of TLS. */
  readonly tlsHost: string
  /** A path of this attack alone. */
  nextPath(): string
  /** One more case begins. */
  countCase(): void
}

export type Stage = (attack: Attack) => Promise<void>

/** What a client waits for an answer before it leaves; some never come. */
const PATIENCE_MS = 100

/** Waits for `event`, but not for ever; whether it came. */
export async function wait(event: Promise<unknown>): Promise<boolean> {
  const patience = new AbortController()
  const isOver = sleep(PATIENCE_MS, false, { signal: patience.signal }).catch(() => false)
  const happened = event.then(
    () => true,
    () => true,
  )
  const didHappen = await Promise.race([happened, isOver])
  patience.abort()
  return didHappen
}

/** Resolves at the end of what comes. */
export function untilOver(stream: Duplex): Promise<void> {
  return new Promise((resolve) => {
    const onOver = () => resolve()
    stream.once('end', onOver).once('error', onOver).once('close', onOver)
  })
}

/** Sends `bytes` whole or in pieces. */
export async function send(random: SeededRandom, stream: Duplex, bytes: Buffer): Promise<void> {
  const pieces = random.happens(0.2) ? cutAnywhere(random, bytes) : [bytes]
  for (const piece of pieces) {
    if (!stream.writable) return
    stream.write(piece)
    if (pieces.length > 1) await nextTurn()
  }
}

/** Sends `bytes`, waits a while for an end or not at all, and is gone. */
export async function sendAndLeave(random: SeededRandom, stream: TunnelSocket | Socket, bytes: Buffer): Promise<void> {
  const over = untilOver(stream)
  stream.resume()
  await send(random, stream, bytes)
  if (random.happens(0.6)) await wait(over)
  if (random.happens(0.3)) {
    if ('endSending' in stream && random.happens(0.5)) stream.endSending()
    else stream.end()
    await wait(over)
  }
  stream.destroy()
  assertNoViolation(stream)
}

/** Ends a connection with TLS in one of the ways in which connections end. */
export async function leave(random: SeededRandom, { tunnel, socket }: TunnelClient): Promise<void> {
  const way = random.pick(['close notify', 'end', 'WebSocket', 'TCP', 'TCP', 'reset', 'garbage', 'text'] as const)
  const over = untilOver(tunnel)
  if (way === 'close notify') socket.end()
  if (way === 'end') tunnel.endSending()
  if (way === 'WebSocket') tunnel.end()
  if (way === 'reset') tunnel.reset()
  if (way === 'garbage') tunnel.write(random.bytes(1 + random.below(100)))
  if (way === 'text') tunnel.writeRaw(encodeClientFrame(OPCODE.text, Buffer.from('text')))
  if (way !== 'TCP' && way !== 'reset') await wait(over)
  socket.destroy()
  tunnel.destroy()
  assertNoViolation(tunnel)
}

/** Watches everything that comes for what the gateway injects. */
export class SecretWatch {
  #tail: Buffer = Buffer.alloc(0)
  #isSeen = false

  constructor(stream: Duplex) {
    stream.on('data', (bytes: Buffer) => {
      const text = Buffer.concat([this.#tail, bytes])
      if (text.includes(SECRET)) this.#isSeen = true
      this.#tail = text.subarray(-SECRET.length)
    })
  }

  assertUnseen(): void {
    if (this.#isSeen) throw new Error('the secret came back')
  }
}

export function anyHost(random: SeededRandom): string {
  return random.pick([QUIET, ...HOSTILE, ...HOSTILE])
}

function assertNoViolation(stream: TunnelSocket | Socket): void {
  if ('violation' in stream && stream.violation !== undefined) throw stream.violation
}
