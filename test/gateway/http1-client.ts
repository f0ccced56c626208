// HTTP/1.1 by hand, for tests: it sends the bytes that it is given, and reads one answer after the other off one connection.
// It trusts nothing of the gateway's framing: what does not follow RFC 9112 to the letter is an error here.

import assert from 'node:assert/strict'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { ByteInbox } from '../support/byte-inbox.js'
import type { WireStream } from './wire-client.js'

export interface Http1Answer {
  readonly status: number
  readonly reason: string
  /** By lower-case name, in order; one that came twice has two values. */
  readonly fields: ReadonlyMap<string, readonly string[]>
  readonly body: string
  readonly trailers: ReadonlyMap<string, readonly string[]>
  /** Head, and where there are such, trailers, as they came. */
  readonly head: string
}

const NO_FIELDS: ReadonlyMap<string, readonly string[]> = new Map()

/** @template S what is below the TLS */
export class Http1Client<S extends Duplex = WireStream> {
  readonly stream: S
  readonly socket: TLSSocket
  readonly #inbox = new ByteInbox()

  constructor(stream: S, socket: TLSSocket) {
    this.stream = stream
    this.socket = socket
    socket.on('data', (bytes: Buffer) => this.#inbox.push(bytes))
    socket.once('end', () => this.#inbox.end('end'))
    socket.once('close', () => this.#inbox.end('closed'))
  }

  /** A text is sent as Latin-1: one byte a character. */
  write(bytes: string | Uint8Array): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  /** Sends a request and reads its answer. */
  ask(request: string): Promise<Http1Answer> {
    this.write(request)
    return this.answer(request.startsWith('HEAD '))
  }

  /** Reads one answer; an interim one is one of its own. */
  async answer(isForHead = false): Promise<Http1Answer> {
    const head = await this.#inbox.takeUntil('\r\n\r\n')
    const [, status = '', reason = ''] = /^HTTP\/1\.1 ([1-9]\d\d) ([^\r\n]*)\r\n/.exec(head) ?? []
    assert.notEqual(status, '', `no status line: ${JSON.stringify(head.slice(0, 200))}`)
    const fields = parseFields(head.slice(head.indexOf('\r\n') + 2))
    const isEmpty = isForHead || status.startsWith('1') || status === '204' || status === '304'
    const content = isEmpty ? { body: '', trailers: NO_FIELDS } : await this.#content(fields)
    return { status: Number(status), reason, fields, head, ...content }
  }

  /** Everything to the end of the connection. */
  async rest(): Promise<string> {
    return (await this.#inbox.rest()).toString('latin1')
  }

  async #content(fields: Http1Answer['fields']): Promise<Pick<Http1Answer, 'body' | 'trailers'>> {
    const [lengths, codings] = [fields.get('content-length') ?? [], fields.get('transfer-encoding') ?? []]
    assert.ok(lengths.length + codings.length <= 1, 'an answer has one framing')
    if (codings.length === 1) {
      assert.equal(codings[0], 'chunked')
      return this.#chunks()
    }
    if (lengths.length === 0) return { body: await this.rest(), trailers: NO_FIELDS }
    assert.match(lengths[0] as string, /^\d+$/)
    return { body: (await this.#inbox.take(Number(lengths[0]))).toString('latin1'), trailers: NO_FIELDS }
  }

  async #chunks(): Promise<Pick<Http1Answer, 'body' | 'trailers'>> {
    let body = ''
    for (;;) {
      const line = await this.#inbox.takeUntil('\r\n')
      assert.match(line, /^[0-9a-f]+\r\n$/i, 'a chunk begins with its size')
      const size = Number.parseInt(line, 16)
      if (size === 0) return { body, trailers: parseFields(await this.#trailers()) }
      body += (await this.#inbox.take(size)).toString('latin1')
      assert.equal((await this.#inbox.take(2)).toString('latin1'), '\r\n')
    }
  }

  async #trailers(): Promise<string> {
    let text = ''
    while (!text.endsWith('\r\n\r\n') && text !== '\r\n') text += await this.#inbox.takeUntil('\r\n')
    return text
  }
}

/** @param lines each with its end, the empty one included */
function parseFields(lines: string): ReadonlyMap<string, readonly string[]> {
  const fields = new Map<string, string[]>()
  for (const line of lines.split('\r\n').slice(0, -2)) {
    const [, name, value] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? []
    assert.ok(name !== undefined && value !== undefined, `no field: ${JSON.stringify(line)}`)
    fields.set(name.toLowerCase(), [...(fields.get(name.toLowerCase()) ?? []), value])
  }
  return fields
}
