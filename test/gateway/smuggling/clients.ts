// The clients of the smuggling matrix: each plays one case through a tunnel of its own, and returns the answers that it got. What
// it is told of its connection it holds the gateway to: one that is not said to close takes the next request.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type ClientHttp2Session, type ClientHttp2Stream, constants, type OutgoingHttpHeaders } from 'node:http2'
import type { Listening } from '../../support/listening.js'
import { HOST, type TestGateway } from '../fixture.js'
import type { Http1Answer } from '../http1-client.js'
import { answerOf } from '../http2-client.js'
import { bodyOf, type Case, firstPath, SECOND_BYTES, secondPath } from './cases.js'

/** The statuses that both requests got; 0 for none. */
export type Outcome = readonly [first: number, second: number]

/** Resolves when the origin has the head of a request for `path`. */
type UntilSeen = (path: string) => Promise<void>

export function play(gateway: TestGateway<Listening>, plan: Case, untilSeen: UntilSeen): Promise<Outcome> {
  return plan.client === 'h2' ? playHttp2(gateway, plan, untilSeen) : playHttp1(gateway, plan, untilSeen)
}

/** Where half of the body is enough for the answer. */
function isHeldBack({ manner, moment, bytes }: Case): boolean {
  return manner === 'held back' && bytes > 0 && (moment === 'head' || (moment === 'part' && bytes > 1))
}

// -- HTTP/1.1 --------------------------------------------------------------------------------------------------------

async function playHttp1(gateway: TestGateway<Listening>, plan: Case, untilSeen: UntilSeen): Promise<Outcome> {
  const client = await gateway.openHttp1()
  const [early, late] = firstBytes(plan)
  const second = encode('POST', secondPath(plan), 'length', bodyOf(SECOND_BYTES))
  try {
    if (plan.manner === 'gone') {
      const begun = once(client.socket, 'data')
      client.write(early)
      await (plan.deed === 'half' ? begun : untilSeen(firstPath(plan)))
      return [0, 0]
    }
    client.write(isHeldBack(plan) ? early : Buffer.concat([early, late, second]))
    const first = await client.answer()
    if (isHeldBack(plan)) client.write(Buffer.concat([late, second]))
    if (isClosing(first)) {
      assert.equal(await client.rest(), '', 'nothing follows an answer that closes')
      return [first.status, 0]
    }
    return [first.status, (await client.answer()).status]
  } catch (error) {
    // Its own fault ends an answer that has begun.
    if (plan.manner === 'misframed') return [0, 0]
    throw error
  } finally {
    client.socket.destroy()
    client.stream.destroy()
  }
}

function isClosing({ fields }: Http1Answer): boolean {
  return (fields.get('connection') ?? []).includes('close')
}

/** The first request, cut where a client that does not send all at once makes a pause. */
function firstBytes(plan: Case): [early: Buffer, late: Buffer] {
  const body = bodyOf(plan.bytes)
  if (plan.manner === 'upgrade') return [encode('GET', firstPath(plan), plan.framing, body, UPGRADE), Buffer.alloc(0)]
  const bytes = encode('POST', firstPath(plan), plan.framing, body)
  if (plan.manner === 'misframed') return [misframe(bytes), Buffer.alloc(0)]
  const cut = bytes.length - Math.ceil(plan.bytes / 2)
  return [bytes.subarray(0, cut), bytes.subarray(cut)]
}

const UPGRADE = [
  ...['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'],
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
]

function encode(
  method: string,
  path: string,
  framing: Case['framing'],
  body: Buffer,
  more: readonly string[] = [],
): Buffer {
  const length = { length: [`Content-Length: ${body.length}`], chunked: ['Transfer-Encoding: chunked'], none: [] }[
    framing
  ]
  const lines = [`${method} ${path} HTTP/1.1`, `Host: ${HOST}`, ...length, ...more, '', '']
  const head = Buffer.from(lines.join('\r\n'), 'latin1')
  return Buffer.concat([head, framing === 'chunked' ? inChunks(body) : body])
}

/** Of odd sizes, and more than one where there is something to cut. */
function inChunks(body: Buffer): Buffer {
  const pieces: Buffer[] = []
  for (let at = 0; at < body.length; at += 7_001) {
    const piece = body.subarray(at, at + 7_001)
    pieces.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'))
  }
  return Buffer.concat([...pieces, Buffer.from('0\r\n\r\n')])
}

/** The size of the last chunk but one is said too small: what is left of it is no chunk. */
function misframe(chunked: Buffer): Buffer {
  const at = chunked.lastIndexOf('\r\n1b59\r\n')
  const broken = Buffer.from(chunked)
  broken.write('0b59', at + 2, 'latin1')
  return broken
}

// -- HTTP/2 ----------------------------------------------------------------------------------------------------------

async function playHttp2(gateway: TestGateway<Listening>, plan: Case, untilSeen: UntilSeen): Promise<Outcome> {
  const { session, stream } = await gateway.openHttp2()
  try {
    const first = open(session, plan)
    const answered = answerOf(first)
    const begun = Promise.race([once(first, 'response'), answered])
    const half = Math.floor(plan.bytes / 2)
    first.write(bodyOf(plan.bytes).subarray(0, half))
    if (plan.manner === 'gone') {
      await (plan.deed === 'half' ? begun : untilSeen(firstPath(plan)))
      first.close(constants.NGHTTP2_CANCEL)
    }
    if (isHeldBack(plan)) await begun
    if (!first.destroyed && !first.closed) first.end(bodyOf(plan.bytes).subarray(half))
    if (plan.manner !== 'at once') await answered
    const second = session.request({ ':method': 'POST', ':path': secondPath(plan), 'content-length': SECOND_BYTES })
    second.end(bodyOf(SECOND_BYTES))
    const answers = await Promise.all([answered, answerOf(second)])
    return [answers[0].status, answers[1].status]
  } finally {
    session.destroy()
    stream.destroy()
  }
}

function open(session: ClientHttp2Session, plan: Case): ClientHttp2Stream {
  const headers: OutgoingHttpHeaders = { ':method': 'POST', ':path': firstPath(plan) }
  if (plan.framing === 'length') headers['content-length'] = plan.bytes + (plan.manner === 'misframed' ? 1 : 0)
  if (plan.manner !== 'gone') return session.request(headers, { endStream: false })
  // Node ends what it resets; while it waits for trailers that end is not sent.
  return session.request(headers, { endStream: false, waitForTrailers: true }).on('wantTrailers', () => {})
}
