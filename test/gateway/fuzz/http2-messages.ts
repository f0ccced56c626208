// HTTP/2 frames by chance: valid exchanges of a client and answers of an origin, what may happen to them, and frames that fit nowhere.

import { encodeFields, encodeFrame, FLAG, FRAME } from '../../support/raw-http2.js'
import type { SeededRandom } from '../../support/seeded-random.js'
import { SIZES, someFields } from './http1-messages.js'

type Field = readonly [name: string, value: string]

const PRIORITY = 2
const PADDED = 8
const HAS_PRIORITY = 0x20

export const MAGIC = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

const METHODS = ['GET', 'GET', 'POST', 'POST', 'PUT', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT', 'get', 'trace']
const SETTINGS_VALUES = [0, 1, 100, 4_096, 16_384, 65_535, 16_777_215, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]

/** Settings, mostly ones that may be. */
export function randomSettings(random: SeededRandom): Buffer {
  const entries = Array.from({ length: random.below(4) }, () => {
    const entry = Buffer.alloc(6)
    entry.writeUInt16BE(random.pick([1, 2, 3, 4, 5, 6, 8, 0xff]))
    entry.writeUInt32BE(random.pick(SETTINGS_VALUES), 2)
    return entry
  })
  return encodeFrame(FRAME.settings, 0, 0, Buffer.concat(entries))
}

/** A request on stream `id`: head, body, trailers. @param mutation how likely its head is none that may be */
export function randomRequestFrames(
  random: SeededRandom,
  id: number,
  { host, path, mutation = 0 }: { readonly host: string; readonly path: string; readonly mutation?: number },
): Buffer[] {
  const fields: Field[] = [
    [':method', random.pick(METHODS)],
    [':scheme', 'https'],
    [random.happens(0.95) ? ':authority' : 'host', host],
    [':path', path],
    ...allowed(random),
  ]
  return messageFrames(random, id, random.happens(mutation) ? mutateFields(random, fields) : fields)
}

const STATUSES = ['200', '200', '201', '204', '205', '304', '401', '413', '421', '429', '500', '599', '999', '101']

/** An answer on stream `id`, interim answers included. */
export function randomAnswerFrames(random: SeededRandom, id: number, more: readonly Field[] = []): Buffer[] {
  const interim = Array.from({ length: random.happens(0.1) ? 1 + random.below(20) : 0 }, () => {
    return encodeFrame(
      FRAME.headers,
      FLAG.endHeaders,
      id,
      encodeFields([[':status', random.pick(['100', '103', '199'])]]),
    )
  })
  const head: Field[] = [[':status', random.pick(STATUSES)], ...allowed(random), ...more]
  return [...interim, ...messageFrames(random, id, random.happens(0.15) ? mutateFields(random, head) : head)]
}

/** Values that are read in two ways, or by nobody. */
const ODD_FIELDS: readonly Field[] = [
  [':method', ''],
  [':method', 'GET POST'],
  [':path', ''],
  [':path', '*'],
  [':path', 'no/slash'],
  [':path', '/a b'],
  [':path', '/\xff'],
  [':path', '//a/../b;c%2fd'],
  [':path', 'https://evil.example/'],
  [':scheme', 'http'],
  [':authority', ''],
  [':authority', 'evil.example'],
  [':authority', 'user@quiet.example.com'],
  [':authority', 'quiet.example.com, evil.example'],
  [':protocol', 'websocket'],
  [':status', '200'],
  [':status', '2000'],
  [':status', 'x'],
  [':unknown', 'x'],
  ['', 'x'],
  ['X-Upper', 'x'],
  ['x space', 'x'],
  ['x-cr', 'a\rb'],
  ['x-lf', 'a\nInjected: yes'],
  ['x-nul', 'a\0b'],
  ['x-high', '\x80\xff'],
  ['x-blank', ' a '],
  ['x-huge', 'h'.repeat(30_000)],
  ['content-length', '5'],
  ['content-length', '-1'],
  ['content-length', '99999999999999999999'],
  ['transfer-encoding', 'chunked'],
  ['connection', 'close'],
  ['te', 'gzip'],
]

/** A head after one to three things that happened to it. */
function mutateFields(random: SeededRandom, fields: readonly Field[]): Field[] {
  const mutated = [...fields]
  for (let left = 1 + random.below(3); left > 0; left--) {
    const at = random.below(mutated.length + 1)
    const [name, value] = mutated[at] ?? ['x-none', '']
    const odd = random.pick(ODD_FIELDS)
    const replacement = random.pick<readonly Field[]>([
      [],
      [odd, [name, value]],
      [odd],
      [[name, odd[1]]],
      [
        [name, value],
        [name, value],
      ],
      random.happens(0.1) ? Array.from({ length: 600 }, (): Field => ['x-many', 'm']) : [],
    ])
    mutated.splice(at, 1, ...replacement)
  }
  return random.happens(0.1) ? mutated.reverse() : mutated
}

/** The frames of a message after one to three things that happened to them: every frame is one, but not in its place. */
export function perturbFrames(random: SeededRandom, frames: readonly Buffer[], id: number): Buffer[] {
  const perturbed = [...frames]
  for (let left = 1 + random.below(3); left > 0; left--) {
    const at = random.below(perturbed.length)
    const frame = perturbed[at] ?? Buffer.alloc(0)
    const replacement = random.pick<readonly Buffer[]>([
      [],
      [frame, frame],
      [strayFrame(random, id), frame],
      [strayFrame(random, id), frame],
      [frame, resetFrame(id, random.pick([0, 1, 2, 7, 8, 11]))],
      perturbed.slice(at).reverse(),
    ])
    perturbed.splice(at, 1, ...replacement)
  }
  return perturbed
}

/** Frames of every type that are whole, for a stream that may or may not take them. */
const STRAY: readonly ((random: SeededRandom, id: number) => Buffer)[] = [
  (random, id) => encodeFrame(FRAME.data, random.pick([0, 1]), id, Buffer.alloc(random.pick([0, 1, 1_000]))),
  (_random, id) => encodeFrame(FRAME.data, PADDED, id, Buffer.from([3, 0, 0, 0])),
  (random, id) => encodeFrame(FRAME.data, PADDED, id, Buffer.from([random.pick([0, 9]), 0])),
  (random, id) => encodeFrame(FRAME.headers, random.pick([4, 5]), id, encodeFields(someFields(random, 2))),
  (random, id) => encodeFrame(FRAME.headers, random.pick([0, 1]), id, encodeFields(someFields(random, 2))),
  (random, id) => encodeFrame(PRIORITY, 0, id, Buffer.from([0, 0, 0, random.pick([0, id & 0xff, 99]), 1])),
  (random, id) => resetFrame(id, random.below(14)),
  (random) => randomSettings(random),
  () => encodeFrame(FRAME.settings, 1, 0),
  (random) => encodeFrame(FRAME.ping, random.below(2), 0, Buffer.alloc(8)),
  (random, id) => windowUpdate(id, random.pick([0, 1, 65_535, 0x7fff_ffff])),
  (random) => windowUpdate(0, random.pick([0, 1, 1, 1, 65_535, 0x7fff_ffff])),
  (random, id) => encodeFrame(FRAME.continuation, random.pick([0, 4]), id, encodeFields(someFields(random, 2))),
  (random, id) => goawayFrame(random.pick([0, id, 0x7fff_ffff]), random.below(14)),
  (random, id) => encodeFrame(random.pick([5, 10, 12, 16, 0xff]), random.below(256), id, random.bytes(8)),
]

function strayFrame(random: SeededRandom, id: number): Buffer {
  return random.pick(STRAY)(random, id)
}

export function windowUpdate(id: number, increment: number): Buffer {
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(increment)
  return encodeFrame(FRAME.windowUpdate, 0, id, payload)
}

/** A frame of any type, for any stream, of any length. */
export function randomFrame(random: SeededRandom): Buffer {
  const type = random.pick([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 255])
  const length = random.pick([0, 1, 4, 4, 5, 5, 6, 8, 8, 9, 17, 100, 1_000, 16_384, 16_385])
  const payload = random.happens(0.5) ? random.bytes(Math.min(length, 100)) : Buffer.alloc(length)
  const flags = random.pick([0, 1, 4, 5, 8, 0x20, 0x2d, random.below(256)])
  return encodeFrame(type, flags, random.pick([0, 0, 1, 1, 2, 3, 5, 101, 0x7fff_ffff]), payload)
}

export function resetFrame(id: number, code: number): Buffer {
  return encodeFrame(FRAME.reset, 0, id, Buffer.from([0, 0, 0, code]))
}

export function goawayFrame(lastId: number, code: number): Buffer {
  const payload = Buffer.alloc(8)
  payload.writeUInt32BE(lastId)
  payload.writeUInt32BE(code, 4)
  return encodeFrame(FRAME.goaway, 0, 0, payload)
}

/** Without what is refused at sight, most of the time. */
function allowed(random: SeededRandom): Field[] {
  const fields = someFields(random, 4)
  if (random.happens(0.1)) return fields
  return fields.filter(
    ([name]) => !/^(content.length|transfer-encoding|host|connection|keep-alive|upgrade)$/.test(name),
  )
}

function messageFrames(random: SeededRandom, id: number, head: Field[]): Buffer[] {
  const size = random.happens(0.5) ? random.pick(SIZES) : 0
  const hasTrailers = random.happens(0.3)
  const fields = size > 0 && random.happens(0.3) ? [...head, ['content-length', String(size)] as const] : head
  const isHeadLast = size === 0 && !hasTrailers
  const frames = headFrames(random, id, encodeFields(fields), isHeadLast)
  for (let left = size; left > 0; ) {
    const count = Math.min(left, 1 + random.below(random.pick([10, 4_000])))
    left -= count
    frames.push(encodeFrame(FRAME.data, left === 0 && !hasTrailers ? FLAG.endStream : 0, id, Buffer.alloc(count, 'b')))
    if (frames.length > 200) break
  }
  if (hasTrailers) frames.push(...headFrames(random, id, encodeFields(someFields(random, 4)), true))
  return frames
}

/** In one frame, or cut anywhere into several; padded or with a priority now and then. */
function headFrames(random: SeededRandom, id: number, block: Buffer, isLast: boolean): Buffer[] {
  const end = isLast ? FLAG.endStream : 0
  const [flags, payload] = random.pick<readonly [number, Buffer]>([
    ...Array.from({ length: 8 }, () => [0, block] as const),
    [PADDED, Buffer.concat([Buffer.from([4]), block, Buffer.alloc(4)])],
    [HAS_PRIORITY, Buffer.concat([Buffer.from([0, 0, 0, 0, 15]), block])],
  ])
  if (flags !== 0 || (random.happens(0.9) && payload.length <= 16_384)) {
    return [encodeFrame(FRAME.headers, FLAG.endHeaders | end | flags, id, payload)]
  }
  const cuts = [payload.length, ...Array.from({ length: 1 + random.below(4) }, () => random.below(payload.length + 1))]
  cuts.sort((one, other) => one - other)
  return cuts.map((cut, at) => {
    const piece = payload.subarray(cuts[at - 1] ?? 0, cut)
    const lastFlag = cut === payload.length && at === cuts.length - 1 ? FLAG.endHeaders : 0
    return at === 0
      ? encodeFrame(FRAME.headers, end | lastFlag, id, piece)
      : encodeFrame(FRAME.continuation, lastFlag, id, piece)
  })
}
