// The requests of one HTTP/1.1 connection, read off its bytes by the letter of RFC 9112 and by nothing of the gateway's: what an
// origin that is strict would execute. For tests only.

import { createHash } from 'node:crypto'

export interface LoggedRequest {
  readonly method: string
  readonly path: string
  /** By lower-case name; one that came twice has two values. */
  readonly fields: ReadonlyMap<string, readonly string[]>
  readonly body: LoggedBody
  /** Whether all of it came. */
  readonly isWhole: boolean
}

/** What came of a body, which is not kept. */
export class LoggedBody {
  bytes = 0
  readonly #hash = createHash('sha256')

  push(piece: Uint8Array): void {
    this.bytes += piece.length
    this.#hash.update(piece)
  }

  /** Of all that came so far. */
  get sha256(): string {
    return this.#hash.copy().digest('hex')
  }
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }

type LogState =
  | { readonly name: 'head' | 'chunk-line' | 'chunk-end' | 'trailers' | 'broken' }
  | { readonly name: 'body' | 'chunk'; readonly left: number }

const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) (\/[!-~]*|\*) HTTP\/1\.1$/
const FIELD = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([\t\x20-\x7e\x80-\xff]*)$/

export class RequestLog {
  readonly requests: LoggedRequest[] = []
  /** What came that is no request; after it nothing is read any more. */
  broken: string | undefined
  #state: LogState = { name: 'head' }
  #bytes = Buffer.alloc(0)

  /** Takes what came over the connection. */
  push(bytes: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes])
    while (this.#step());
  }

  #step(): boolean {
    const state = this.#state
    switch (state.name) {
      case 'head':
        return this.#readHead()
      case 'body':
      case 'chunk':
        return this.#readContent(state.name, state.left)
      case 'chunk-line':
        return this.#readChunkLine()
      case 'chunk-end':
        return this.#readChunkEnd()
      case 'trailers':
        return this.#readTrailers()
      case 'broken':
        return false
    }
  }

  #readHead(): boolean {
    const end = this.#bytes.indexOf('\r\n\r\n')
    if (end < 0) return false
    const [first = '', ...lines] = this.#take(end + 4)
      .toString('latin1', 0, end)
      .split('\r\n')
    const [, method, path] = REQUEST_LINE.exec(first) ?? []
    if (method === undefined || path === undefined) return this.#break(`no request line: ${first}`)
    const fields = new Map<string, string[]>()
    for (const line of lines) {
      const [, name, value] = FIELD.exec(line) ?? []
      if (name === undefined || value === undefined) return this.#break(`no field: ${line}`)
      fields.set(name.toLowerCase(), [...(fields.get(name.toLowerCase()) ?? []), value])
    }
    this.requests.push({ method, path, fields, body: new LoggedBody(), isWhole: false })
    return this.#enterBody(fields)
  }

  #enterBody(fields: LoggedRequest['fields']): boolean {
    const [lengths = [], codings = []] = [fields.get('content-length'), fields.get('transfer-encoding')]
    if ((fields.get('host') ?? []).length !== 1) return this.#break('not one Host')
    if (lengths.length + codings.length > 1) return this.#break('two framings')
    if (codings.length === 1) {
      return codings[0] === 'chunked' ? this.#enter({ name: 'chunk-line' }) : this.#break(`the coding ${codings[0]}`)
    }
    const [length = '0'] = lengths
    if (!/^\d+$/.test(length)) return this.#break(`the length ${length}`)
    return this.#enter({ name: 'body', left: Number(length) })
  }

  #readContent(name: 'body' | 'chunk', left: number): boolean {
    if (name === 'body' && left === 0) return this.#end()
    const taken = this.#take(Math.min(left, this.#bytes.length))
    if (taken.length === 0) return false
    this.#last.body.push(taken)
    const rest = left - taken.length
    return this.#enter(name === 'chunk' && rest === 0 ? { name: 'chunk-end' } : { name, left: rest })
  }

  #readChunkLine(): boolean {
    const line = this.#line()
    if (line === undefined) return false
    if (!/^[0-9a-f]+$/i.test(line)) return this.#break(`no chunk size: ${line}`)
    const left = Number.parseInt(line, 16)
    return this.#enter(left === 0 ? { name: 'trailers' } : { name: 'chunk', left })
  }

  #readChunkEnd(): boolean {
    if (this.#bytes.length < 2) return false
    const end = this.#take(2).toString('latin1')
    return end === '\r\n' ? this.#enter({ name: 'chunk-line' }) : this.#break('a chunk is longer than its size')
  }

  #readTrailers(): boolean {
    const line = this.#line()
    if (line === undefined) return false
    if (line === '') return this.#end()
    return FIELD.test(line) || this.#break(`no trailer: ${line}`)
  }

  #end(): boolean {
    this.#last.isWhole = true
    return this.#enter({ name: 'head' })
  }

  get #last(): Writable<LoggedRequest> {
    return this.requests.at(-1) as Writable<LoggedRequest>
  }

  #enter(state: LogState): true {
    this.#state = state
    return true
  }

  #break(why: string): false {
    this.broken = why
    this.#state = { name: 'broken' }
    return false
  }

  /** The next line without its end; undefined when it has not come. */
  #line(): string | undefined {
    const end = this.#bytes.indexOf('\r\n')
    return end < 0 ? undefined : this.#take(end + 2).toString('latin1', 0, end)
  }

  #take(count: number): Buffer {
    const taken = this.#bytes.subarray(0, count)
    this.#bytes = this.#bytes.subarray(count)
    return taken
  }
}
