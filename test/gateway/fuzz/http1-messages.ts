// HTTP/1.1 messages by chance, most of them valid: requests of a client, and what an origin says to one.

import type { SeededRandom } from '../../support/seeded-random.js'

const METHODS = ['GET', 'GET', 'POST', 'POST', 'PUT', 'HEAD', 'DELETE', 'OPTIONS', 'PATCH', 'MKCOL', 'TRACE', 'get']

/** Fields that mean something to somebody on the way; also of answers and in trailers. */
export const FIELDS: readonly (readonly [name: string, value: string])[] = [
  ['accept', '*/*'],
  ['te', 'trailers'],
  ['connection', 'keep-alive'],
  ['connection', 'close'],
  ['connection', 'x-a, te, content-length'],
  ['keep-alive', 'timeout=5'],
  ['upgrade', 'h2c'],
  ['http2-settings', 'AAMAAABk'],
  ['expect', '100-continue'],
  ['cookie', 'a=b'],
  ['set-cookie', 'a=b; Path=/'],
  ['authorization', 'Bearer of-the-client'],
  ['proxy-authorization', 'Basic eDp5'],
  ['content-type', 'text/plain'],
  ['etag', '"a"'],
  ['date', 'Tue, 01 Dec 2026 00:00:00 GMT'],
  ['trailer', 'x-end'],
  ['x-end', 'reached'],
  ['content-length', '7'],
  ['content_length', '3'],
  ['transfer-encoding', 'chunked'],
  ['host', 'evil.example'],
  ['__proto__', 'x'],
  ['x-empty', ''],
  ['x-long', 'x'.repeat(5_000)],
]

export function someFields(random: SeededRandom, most: number): (readonly [name: string, value: string])[] {
  return Array.from({ length: random.below(most + 1) }, () => random.pick(FIELDS))
}

export const SIZES = [0, 1, 5, 100, 1_000, 5_000]

/** A request for `path`; of a wrong framing now and then. */
export function randomRequest(random: SeededRandom, host: string, path: string): Buffer {
  const method = random.pick(METHODS)
  const { fields, content } = randomContent(random, method === 'GET' ? 0.1 : 0.7)
  const head = `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n${linesOf(harmless(random))}${fields}\r\n`
  return Buffer.from(head + content, 'latin1')
}

/** One that asks for a WebSocket. */
export function upgradeRequest(host: string, path: string): Buffer {
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n'
  return Buffer.from(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${key}\r\n`)
}

const STATUSES = [200, 200, 201, 204, 205, 206, 302, 304, 400, 401, 403, 413, 421, 429, 500, 503, 599, 999, 99, 101]

/** What an origin answers, interim answers and stray bytes after it included. */
export function randomAnswer(random: SeededRandom): Buffer {
  const { fields, content } = randomContent(random, 0.8)
  const interim = random.happens(0.2) ? `HTTP/1.1 ${random.pick([100, 102, 103, 150, 199])} Soon\r\n\r\n` : ''
  const status = `HTTP/1.1 ${random.pick(STATUSES)} ${random.pick(['OK', '', 'Because \xfc'])}\r\n`
  const stray = random.happens(0.1) ? 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray' : ''
  const switched = random.happens(0.1) ? 'Connection: Upgrade\r\nUpgrade: websocket\r\n' : ''
  const repeated = random.happens(0.02) ? 20 : 1
  const head = `${interim.repeat(repeated)}${status}${switched}${linesOf(harmless(random))}${fields}\r\n`
  return Buffer.from(head + content + stray, 'latin1')
}

/** Without those that make almost every message invalid, most of the time. */
function harmless(random: SeededRandom): (readonly [string, string])[] {
  const fields = someFields(random, 4)
  const isHarmful = ([name]: readonly [string, string]) => /^(content.length|transfer-encoding|host|expect)$/.test(name)
  return random.happens(0.1) ? fields : fields.filter((field) => !isHarmful(field))
}

function linesOf(fields: readonly (readonly [string, string])[]): string {
  return fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
}

function randomContent(
  random: SeededRandom,
  probability: number,
): { readonly fields: string; readonly content: string } {
  if (!random.happens(probability)) return { fields: '', content: '' }
  const body = 'b'.repeat(random.pick(SIZES))
  if (random.happens(0.5)) {
    const length = random.happens(0.1) ? random.below(200) : body.length
    return { fields: `Content-Length: ${length}\r\n`, content: body }
  }
  return { fields: 'Transfer-Encoding: chunked\r\n', content: chunked(random, body) }
}

function chunked(random: SeededRandom, body: string): string {
  let text = ''
  for (let at = 0; at < body.length; ) {
    const size = Math.min(1 + random.below(random.pick([4, 1_000])), body.length - at)
    text += `${size.toString(16)}${random.happens(0.05) ? ';a=b' : ''}\r\n${body.slice(at, at + size)}\r\n`
    at += size
    if (text.length > 20_000) break
  }
  return `${text}0\r\n${random.happens(0.3) ? linesOf(someFields(random, 3)) : ''}\r\n`
}
