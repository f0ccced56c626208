// The cases of the smuggling matrix: every combination that is listed here. A case is one tunnel with two requests, whose bodies are
// made of requests: what of them reads anything from another place than its own executes one.

import { HOST } from '../fixture.js'

/** When an origin answers: at the head, with a part of the body, or with all of it. */
export type Moment = 'head' | 'part' | 'whole'

/**
 * What an origin does then: answers with a status; answers 401 and has the secret renewed (`renew`); breaks HTTP (`broken`);
 * answers the first half of what it says (`half`); switches to what nobody asked for (`switch`); nothing (`silent`).
 */
export type Deed = `${number}` | 'renew' | 'broken' | 'half' | 'switch' | 'silent'

/** What a client does with its first request besides sending it, whole. */
export type Manner =
  /** Sends the second one at once. */
  | 'at once'
  /** Keeps half of the first one back until it is answered, where it is answered early; then sends the second one. */
  | 'held back'
  /** Leaves in the middle: over HTTP/1.1 the tunnel, over HTTP/2 the stream. */
  | 'gone'
  /** Sends a body that breaks its own framing, with the second request. */
  | 'misframed'
  /** Asks for a WebSocket, and sends the second one at once. */
  | 'upgrade'

export interface Case {
  readonly id: number
  readonly client: 'http/1.1' | 'h2'
  readonly origin: 'http1' | 'http2'
  readonly framing: 'length' | 'chunked' | 'none'
  readonly bytes: number
  readonly moment: Moment
  readonly deed: Deed
  readonly manner: Manner
}

/** Nothing, what is in one packet with the head, what is kept for another try, just not kept, and what fills every buffer. */
const LENGTHS = [0, 1, 50_000, 65_537, 200_000]
const FRAMINGS = ['length', 'chunked'] as const
const MOMENTS: readonly Moment[] = ['head', 'part', 'whole']
const ANSWERS: readonly Deed[] = ['200', '401', '413', 'renew', 'broken']
const SIDES = [
  ['http/1.1', 'http1'],
  ['h2', 'http1'],
  ['h2', 'http2'],
] as const

type Combination = Omit<Case, 'id' | 'client' | 'origin'>

/** Early and late answers to whole requests. */
const answered = combine(['at once', 'held back'], FRAMINGS, LENGTHS, MOMENTS, ANSWERS)
const left = combine(['gone'], FRAMINGS, LENGTHS.slice(2), ['head', 'part'], ['silent', 'half', 'renew'])
/** What is longer than Content-Length over HTTP/1.1 is the next request, and chunks of HTTP/2 are frames. */
const misframed = (framing: 'length' | 'chunked') =>
  combine(['misframed'], [framing], LENGTHS.slice(2), ['head', 'whole'], ['200', '401', 'renew'])
const upgrades: readonly Combination[] = [
  ...combine(['upgrade'], ['none'], [0], ['head'], ['200', '401', '403', '426', 'renew', 'broken', 'switch']),
  ...combine(['upgrade'], FRAMINGS, [50_000], MOMENTS, ['200', '401', '403', '426', 'renew', 'broken', 'switch']),
]

export const CASES: readonly Case[] = SIDES.flatMap(([client, origin]) => {
  const own = client === 'h2' ? misframed('length') : [...misframed('chunked'), ...upgrades]
  return [...answered, ...left, ...own].map((combination) => ({ ...combination, client, origin }))
}).map((combination, id) => ({ ...combination, id }))

function combine(
  manners: readonly Manner[],
  framings: readonly Case['framing'][],
  lengths: readonly number[],
  moments: readonly Moment[],
  deeds: readonly Deed[],
): Combination[] {
  return manners.flatMap((manner) =>
    framings.flatMap((framing) =>
      lengths.flatMap((bytes) =>
        moments.flatMap((moment) => deeds.map((deed) => ({ manner, framing, bytes, moment, deed }))),
      ),
    ),
  )
}

/** The path says to the origin what to do. */
export function firstPath({ id, moment, deed }: Case): string {
  return `/${id}/first/${moment}/${deed}`
}

export function secondPath({ id }: Case): string {
  return `/${id}/second/whole/200`
}

const SMUGGLED = `GET /smuggled HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`
const BODY = Buffer.from(SMUGGLED.repeat(5_000))

/** The first `bytes` of every body. */
export function bodyOf(bytes: number): Buffer {
  return BODY.subarray(0, bytes)
}

/** More than is left of any first body. */
export const SECOND_BYTES = 20_000
