// The CONNECT table: what a client may send as the first bytes of a connection, and the one right verdict. The parser's
// test and the relay's test both run it. Texts are Latin-1: a character is a byte.

import type { HeadRefusal } from '#src/protocol/connect-head.js'

/** One row. Either `target` or `refusal` is set. */
export interface ConnectVector {
  readonly title: string
  readonly bytes: Buffer
  /** The canonical authority of an accepted head. */
  readonly target?: string
  /** What stands behind an accepted head. */
  readonly rest?: Buffer
  readonly refusal?: HeadRefusal
}

/** A TLS 1.2-framed ClientHello record of 517 bytes, the size that OpenSSL pads to. */
export const CLIENT_HELLO: Buffer = Buffer.concat([
  // handshake record, 512 bytes; client_hello, 508 bytes; TLS 1.2
  Buffer.from('1603010200 010001fc 0303'.replaceAll(' ', ''), 'hex'),
  Buffer.from(Array.from({ length: 506 }, (_, index) => (index * 7 + 3) & 0xff)),
])

const EXAMPLE = 'h.example:443'

function accepted(title: string, text: string, target: string = EXAMPLE, rest: Uint8Array = Buffer.alloc(0)) {
  return { title, bytes: Buffer.concat([Buffer.from(text, 'latin1'), rest]), target, rest: Buffer.from(rest) }
}

function refused(title: string, text: string, refusal: HeadRefusal): ConnectVector {
  return { title, bytes: Buffer.from(text, 'latin1'), refusal }
}

function refusedHex(title: string, hex: string): ConnectVector {
  return { title, bytes: Buffer.from(hex.replaceAll(' ', ''), 'hex'), refusal: 'bad-request' }
}

/** A head with `target` as it stands, and the given fields behind Host. */
export function connectHead(target: string, ...fields: string[]): string {
  return [`CONNECT ${target} HTTP/1.1`, 'Host: h.example', ...fields, '', ''].join('\r\n')
}

/** A good head of exactly `length` bytes. */
export function connectHeadOfLength(length: number): string {
  const padding = length - connectHead(EXAMPLE, 'X-Padding: ').length
  return connectHead(EXAMPLE, `X-Padding: ${'p'.repeat(padding)}`)
}

function connectHeadOfFields(count: number): string {
  return connectHead(EXAMPLE, ...Array.from({ length: count - 1 }, (_, index) => `a${index}: 1`))
}

/** Targets and what they are to the relay: a canonical authority, or undefined for a bad one. */
export const TARGETS: ReadonlyArray<readonly [target: string, canonical: string | undefined]> = [
  ['h.example:443', 'h.example:443'],
  ['H.EXAMPLE:443', 'h.example:443'],
  ['h.example.:443', 'h.example:443'],
  ['localhost:8443', 'localhost:8443'],
  ['a_b-c.example:1', 'a_b-c.example:1'],
  ['xn--bcher-kva.example:65535', 'xn--bcher-kva.example:65535'],
  [`${'a'.repeat(63)}.example:443`, `${'a'.repeat(63)}.example:443`],
  [`${'a'.repeat(64)}.example:443`, undefined],
  [`${'abcdefgh.'.repeat(28)}a:443`, `${'abcdefgh.'.repeat(28)}a:443`], // 253 characters
  [`${'abcdefgh.'.repeat(28)}a.:443`, `${'abcdefgh.'.repeat(28)}a:443`],
  [`${'abcdefgh.'.repeat(28)}ab:443`, undefined], // 254 characters
  ['127.0.0.1:443', '127.0.0.1:443'],
  ['255.255.255.255:443', '255.255.255.255:443'],
  ['256.0.0.1:443', undefined],
  ['[::1]:443', '[::1]:443'],
  ['[::]:443', '[::]:443'],
  ['[2001:DB8:0:0:0:0:0:1]:443', '[2001:db8::1]:443'],
  ['[2001:db8:0:1:1:1:1:1]:443', '[2001:db8:0:1:1:1:1:1]:443'],
  ['[2001:0:0:1:0:0:0:1]:443', '[2001:0:0:1::1]:443'],
  ['[2001:db8:0:0:1:0:0:1]:443', '[2001:db8::1:0:0:1]:443'],
  ['[1:2:3:4:5:6:7::]:443', '[1:2:3:4:5:6:7:0]:443'],
  ['[::ffff:127.0.0.1]:443', '[::ffff:7f00:1]:443'],
  ['h.example', undefined],
  ['h.example:', undefined],
  ['h.example:0', undefined],
  ['h.example:00', undefined],
  ['h.example:65535', 'h.example:65535'],
  ['h.example:65536', undefined],
  ['h.example:4294967739', undefined],
  ['h.example:+443', undefined],
  ['h.example:-1', undefined],
  ['h.example:443abc', undefined],
  ['h.example:0443', undefined],
  ['h.example:0x1bb', undefined],
  ['h.example:443:443', undefined],
  [':443', undefined],
  ['.:443', undefined],
  ['.h.example:443', undefined],
  ['h..example:443', undefined],
  ['h.example..:443', undefined],
  ['user:pw@h.example:443', undefined],
  ['good.example:443@evil.example:443', undefined],
  ['@h.example:443', undefined],
  ['::1:443', undefined],
  ['[::1]', undefined],
  ['[::1]443', undefined],
  ['[fe80::1%25eth0]:443', undefined],
  ['[fe80::1%eth0]:443', undefined],
  ['[example.com]:443', undefined],
  ['[127.0.0.1]:443', undefined],
  ['[[::1]]:443', undefined],
  ['[::1:443', undefined],
  ['[1:2:3:4:5:6:7]:443', undefined],
  ['[1:2:3:4:5:6:7:8:9]:443', undefined],
  ['[1::2::3]:443', undefined],
  ['[:1:2:3:4:5:6:7:8]:443', undefined],
  ['[1:2:3:4:5:6:7:8:]:443', undefined],
  ['[12345::]:443', undefined],
  ['[::1.2.3.4.5]:443', undefined],
  ['[::01.2.3.4]:443', undefined],
  ['[1.2.3.4::]:443', undefined],
  ['[]:443', undefined],
  ['https://h.example:443/', undefined],
  ['/', undefined],
  ['*', undefined],
  ['*.example:443', undefined],
  ['h.example:443/foo', undefined],
  ['h.example:443?x', undefined],
  ['h.example:443#x', undefined],
  ['h%0d%0aX:443', undefined],
  ['h%2eexample:443', undefined],
  ['2130706433:443', undefined],
  ['0177.0.0.1:443', undefined],
  ['0x7f.1:443', undefined],
  ['0x7f000001:443', undefined],
  ['h.0x7f:443', undefined],
  ['127.1:443', undefined],
  ['1.2.3:443', undefined],
  ['1.2.3.4.5:443', undefined],
  ['127.0.0.1.:443', undefined],
  ['127.0.0.01:443', undefined],
  ['a,b:443', undefined],
  ["h'example:443", undefined],
]

const TARGET_VECTORS: readonly ConnectVector[] = TARGETS.map(([target, canonical]) => {
  const title = `target ${target.length > 60 ? `${target.slice(0, 20)}… of ${target.length} characters` : target}`
  return canonical === undefined
    ? refused(title, connectHead(target), 'bad-authority')
    : accepted(title, connectHead(target), canonical)
})

const LINE = `CONNECT ${EXAMPLE} HTTP/1.1\r\n`
const HOST = 'Host: h.example\r\n'

const FORM_VECTORS: readonly ConnectVector[] = [
  accepted('HTTP/1.1 with Host', `${LINE}${HOST}\r\n`),
  accepted('HTTP/1.0 without Host', `CONNECT ${EXAMPLE} HTTP/1.0\r\n\r\n`),
  accepted('a Host that differs from the target', `${LINE}Host: evil.example:1\r\n\r\n`),
  accepted('an empty Host', `${LINE}Host:\r\n\r\n`),
  accepted('one empty line first', `\r\n${LINE}${HOST}\r\n`),
  accepted('Content-Length: 0', `${LINE}${HOST}Content-Length: 0\r\n\r\n`),
  accepted(
    'Expect and Upgrade, which are ignored',
    `${LINE}${HOST}Expect: 100-continue\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
  ),
  accepted('a field named __proto__', `${LINE}${HOST}__proto__: x\r\nconstructor: y\r\n\r\n`),
  accepted('one Proxy-Authorization', `${LINE}${HOST}Proxy-Authorization: Basic eDp5\r\n\r\n`),
  accepted('a tab in a value', `${LINE}${HOST}X-Tab:\ta\tb\t\r\n\r\n`),
  accepted('a ClientHello behind the head', `${LINE}${HOST}\r\n`, EXAMPLE, CLIENT_HELLO),
  accepted('a line feed behind the head', `${LINE}${HOST}\r\n`, EXAMPLE, Buffer.from('0a0d00ff', 'hex')),
  accepted('a second head behind the head', `${LINE}${HOST}\r\n`, EXAMPLE, Buffer.from(`${LINE}${HOST}\r\n`)),
  accepted('a head of 16,383 bytes', connectHeadOfLength(16_383)),
  accepted('a head of 16,384 bytes', connectHeadOfLength(16_384)),
  refused('a head of 16,385 bytes', connectHeadOfLength(16_385), 'head-too-large'),
  refused('a head of 17 KiB', connectHeadOfLength(17_408), 'head-too-large'),
  refused('a target of 20,000 bytes', connectHead(`${'a'.repeat(20_000)}:443`), 'head-too-large'),
  refused('a line of 17 KiB that never ends', `CONNECT ${'a'.repeat(17_408)}`, 'head-too-large'),
  accepted('99 fields', connectHeadOfFields(99)),
  accepted('100 fields', connectHeadOfFields(100)),
  refused('101 fields', connectHeadOfFields(101), 'head-too-large'),
  refused('2,600 tiny fields', connectHeadOfFields(2_600), 'head-too-large'),
  refused('HTTP/1.1 without Host', `${LINE}\r\n`, 'bad-request'),
  refused('two Host fields', `${LINE}${HOST}${HOST}\r\n`, 'bad-request'),
  refused('two Host fields in different case', `${LINE}${HOST}hOST: h.example\r\n\r\n`, 'bad-request'),
  refused('two Host fields in HTTP/1.0', `CONNECT ${EXAMPLE} HTTP/1.0\r\n${HOST}${HOST}\r\n`, 'bad-request'),
  refused(
    'two Proxy-Authorization',
    connectHead(EXAMPLE, 'Proxy-Authorization: a', 'Proxy-Authorization: a'),
    'bad-request',
  ),
  refused('two empty lines first', `\r\n\r\n${LINE}${HOST}\r\n`, 'bad-request'),
  refused('three empty lines first', `\r\n\r\n\r\n${LINE}${HOST}\r\n`, 'bad-request'),
  refused('connect in lower case', `connect ${EXAMPLE} HTTP/1.1\r\n${HOST}\r\n`, 'bad-request'),
  refused('Connect in mixed case', `Connect ${EXAMPLE} HTTP/1.1\r\n${HOST}\r\n`, 'bad-request'),
  refused('two spaces before the target', `CONNECT  ${EXAMPLE} HTTP/1.1\r\n${HOST}\r\n`, 'bad-request'),
  refused('two spaces behind the target', `CONNECT ${EXAMPLE}  HTTP/1.1\r\n${HOST}\r\n`, 'bad-request'),
  refused('a space behind the version', `CONNECT ${EXAMPLE} HTTP/1.1 \r\n${HOST}\r\n`, 'bad-request'),
  refused('a space before the method', ` CONNECT ${EXAMPLE} HTTP/1.1\r\n${HOST}\r\n`, 'bad-request'),
  refused('a tab in the request line', `CONNECT\t${EXAMPLE} HTTP/1.1\r\n${HOST}\r\n`, 'bad-request'),
  refused('no target', `CONNECT HTTP/1.1\r\n${HOST}\r\n`, 'bad-request'),
  refused('HTTP/0.9', `CONNECT ${EXAMPLE}\r\n\r\n`, 'bad-request'),
  refused('HTTP/1.2', `CONNECT ${EXAMPLE} HTTP/1.2\r\n${HOST}\r\n`, 'http-version-unsupported'),
  refused('HTTP/2.0', `CONNECT ${EXAMPLE} HTTP/2.0\r\n${HOST}\r\n`, 'http-version-unsupported'),
  refused('HTTP/11.1', `CONNECT ${EXAMPLE} HTTP/11.1\r\n${HOST}\r\n`, 'bad-request'),
  refused('http/1.1 in lower case', `CONNECT ${EXAMPLE} http/1.1\r\n${HOST}\r\n`, 'bad-request'),
  refused('another protocol', `CONNECT ${EXAMPLE} ICY/1.1\r\n${HOST}\r\n`, 'bad-request'),
  refused('a bare LF behind the request line', `CONNECT ${EXAMPLE} HTTP/1.1\n${HOST}\r\n`, 'bad-request'),
  refused('a bare LF at the very end', `${LINE}${HOST}\n`, 'bad-request'),
  refused('a bare CR in a value', `${LINE}Host: h\rX: y\r\n\r\n`, 'bad-request'),
  refused('CR CR LF', `CONNECT ${EXAMPLE} HTTP/1.1\r\r\n${HOST}\r\n`, 'bad-request'),
  refused('a NUL in the target', `CONNECT h\0.example:443 HTTP/1.1\r\n${HOST}\r\n`, 'bad-request'),
  refused('a NUL in a value', `${LINE}Host: h\0\r\n\r\n`, 'bad-request'),
  refused('a DEL in a value', `${LINE}Host: h\x7f\r\n\r\n`, 'bad-request'),
  refused('UTF-8 in the target', `CONNECT b\xc3\xbccher.example:443 HTTP/1.1\r\n${HOST}\r\n`, 'bad-request'),
  refused('a byte above 0x7e in a value', `${LINE}Host: h\xff\r\n\r\n`, 'bad-request'),
  refused('a folded field', `${LINE}${HOST}X-Fold: a\r\n b\r\n\r\n`, 'bad-request'),
  refused('a folded first field', `${LINE} ${HOST}\r\n`, 'bad-request'),
  refused('a space before the colon', `${LINE}Host : h.example\r\n\r\n`, 'bad-request'),
  refused('an empty field name', `${LINE}${HOST}: x\r\n\r\n`, 'bad-request'),
  refused('a field without a colon', `${LINE}${HOST}X-Nothing\r\n\r\n`, 'bad-request'),
  refused('a separator in a field name', `${LINE}${HOST}X(y): z\r\n\r\n`, 'bad-request'),
  refused('Content-Length: 5', `${LINE}${HOST}Content-Length: 5\r\n\r\nhello`, 'bad-request'),
  refused('Content-Length: 00', `${LINE}${HOST}Content-Length: 00\r\n\r\n`, 'bad-request'),
  refused('Transfer-Encoding', `${LINE}${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 'bad-request'),
  refused(
    'Content-Length and Transfer-Encoding',
    `${LINE}${HOST}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'bad-request',
  ),
  refused(
    'two Content-Length that differ',
    `${LINE}${HOST}Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello`,
    'bad-request',
  ),
  refused('GET in absolute form', `GET http://h.example/ HTTP/1.1\r\n${HOST}\r\n`, 'method-not-allowed'),
  refused('GET in origin form', `GET / HTTP/1.1\r\n${HOST}\r\n`, 'method-not-allowed'),
  refused('GET in HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n', 'method-not-allowed'),
  refused(
    'GET of a web page with a foreign Host',
    'GET / HTTP/1.1\r\nHost: rebind.example\r\nOrigin: https://rebind.example\r\n\r\n',
    'method-not-allowed',
  ),
  refused(
    'a preflight',
    `OPTIONS / HTTP/1.1\r\n${HOST}Origin: https://evil.example\r\nAccess-Control-Request-Method: GET\r\n\r\n`,
    'method-not-allowed',
  ),
  refused(
    'a WebSocket upgrade',
    `GET /ws HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
      'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    'method-not-allowed',
  ),
  refused(
    'POST with a CONNECT as its body',
    `POST / HTTP/1.1\r\n${HOST}Content-Length: 48\r\n\r\n${LINE}${HOST}\r\n`,
    'method-not-allowed',
  ),
  refused('GET with a pipelined CONNECT', `GET / HTTP/1.1\r\n${HOST}\r\n${LINE}${HOST}\r\n`, 'method-not-allowed'),
  refused('an unknown method', `BREW ${EXAMPLE} HTTP/1.1\r\n${HOST}\r\n`, 'method-not-allowed'),
  refused('the HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'bad-request'),
  { title: 'a ClientHello', bytes: CLIENT_HELLO, refusal: 'bad-request' },
  refusedHex('a SOCKS4 request', '04 01 01bb 7f000001 00'),
  refusedHex('a SOCKS5 greeting', '05 01 00'),
  refusedHex('an SSLv2 hello', '80 2e 01 0002 0015 0000 0010'),
]

export const CONNECT_VECTORS: readonly ConnectVector[] = [...TARGET_VECTORS, ...FORM_VECTORS]
