// What may happen to bytes on their way: flips, cuts, splices, copies, and words that parsers look for.

import type { SeededRandom } from '../../support/seeded-random.js'

const WORDS = [
  '\r\n',
  '\n',
  '\r',
  '\0',
  ' ',
  ':',
  '\r\n\r\n',
  '0\r\n\r\n',
  'ffffffffffffffff\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Content-Length: 5\r\n',
  'Content-Length: 99999999999999999999\r\n',
  'Connection: close\r\n',
  'Connection: upgrade\r\nUpgrade: websocket\r\n',
  'Expect: 100-continue\r\n',
  'HTTP/1.1 100 Continue\r\n\r\n',
  'HTTP/1.1 200 OK\r\n\r\n',
  'HTTP/1.1 101 Switching Protocols\r\n\r\n',
  'GET / HTTP/1.1\r\n\r\n',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
].map((word) => Buffer.from(word, 'latin1'))

type Mutation = (random: SeededRandom, bytes: Buffer) => Buffer

const MUTATIONS: readonly Mutation[] = [
  flipBit,
  overwrite,
  (random, bytes) => bytes.subarray(0, random.below(bytes.length + 1)),
  (random, bytes) => splice(random, bytes, Buffer.alloc(0)),
  (random, bytes) => insert(random, bytes, rangeOf(random, bytes)),
  (random, bytes) => insert(random, bytes, random.pick(WORDS)),
  (random, bytes) => insert(random, bytes, random.bytes(1 + random.below(20))),
  (random, bytes) => splice(random, bytes, random.pick(WORDS)),
]

/** The bytes after one to four things that happened to them. */
export function mutate(random: SeededRandom, bytes: Buffer): Buffer {
  let mutated = bytes
  for (let left = 1 + random.below(4); left > 0; left--) mutated = random.pick(MUTATIONS)(random, mutated)
  return mutated
}

/** In pieces, cut anywhere. */
export function cutAnywhere(random: SeededRandom, bytes: Buffer): Buffer[] {
  const cuts = Array.from({ length: random.below(5) }, () => random.below(bytes.length + 1)).sort((a, b) => a - b)
  return [0, ...cuts].map((start, at) => bytes.subarray(start, cuts[at] ?? bytes.length))
}

function flipBit(random: SeededRandom, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  const at = random.below(copy.length)
  if (copy.length > 0) copy[at] = (copy[at] as number) ^ (1 << random.below(8))
  return copy
}

function overwrite(random: SeededRandom, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  if (copy.length > 0) copy[random.below(copy.length)] = random.pick([0, 1, 0x0a, 0x0d, 0x20, 0x7f, 0x80, 0xff])
  return copy
}

function insert(random: SeededRandom, bytes: Buffer, piece: Buffer): Buffer {
  const at = random.below(bytes.length + 1)
  return Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)])
}

/** Puts `piece` in the place of a range. */
function splice(random: SeededRandom, bytes: Buffer, piece: Buffer): Buffer {
  const start = random.below(bytes.length + 1)
  const end = start + random.below(Math.min(64, bytes.length - start) + 1)
  return Buffer.concat([bytes.subarray(0, start), piece, bytes.subarray(end)])
}

function rangeOf(random: SeededRandom, bytes: Buffer): Buffer {
  const start = random.below(bytes.length + 1)
  return bytes.subarray(start, start + random.below(200))
}
