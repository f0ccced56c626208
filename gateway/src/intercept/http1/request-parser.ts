// Requests of an HTTP/1.1 client (RFC 9112): bytes in, events out, one at a time and when they are asked for, so that a
// request is not looked at before the one in front of it has its answer. No I/O.
//
// Rules:
// - One reading only: lines end with CRLF, names are tokens, nothing is folded; a body has one length. What common servers
//   read in two ways is refused.
// - Any method that is a token is parsed; node's own parser knows a fixed list.
// - What came and was not asked for stays here: `bufferedBytes` is for the reader to keep small.

import type { RawFields } from '../../fields.js'
import { Refusal } from '../../refusal.js'
import { MAX_REQUEST_HEAD_BYTES } from '../origin-exchange.js'

/** The head of a request. */
export interface Http1RequestHead {
  readonly method: string
  readonly target: string
  /** HTTP/1.0 has no chunks and no interim answers. */
  readonly minorVersion: 0 | 1
  readonly fields: RawFields
}

/** How the end of a body is found. */
export type BodyFraming = number | 'chunked'

export type RequestEvent =
  | { readonly kind: 'head'; readonly head: Http1RequestHead }
  | { readonly kind: 'data'; readonly bytes: Buffer }
  | { readonly kind: 'end'; readonly trailers: RawFields }

/** A chunk's size line with its extensions, which nobody uses; servers differ in what else they take for one. */
const MAX_CHUNK_LINE_BYTES = 256

const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~\x80-\xff]+) HTTP\/([0-9])\.([0-9])$/
const FIELD_LINE =
  /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)[ \t]*$/
const CHUNK_LINE = /^([0-9A-Fa-f]{1,13})(?:[ \t]*;[\t -~\x80-\xff]*)?$/
const LAST_CHUNK = /^0+(?:[ \t]*;[^\r]*)?\r\n/

type ParserState =
  | { readonly name: 'head' }
  /** The head was handed out; the caller says what follows. */
  | { readonly name: 'stopped' }
  | { readonly name: 'sized'; readonly left: number }
  | { readonly name: 'chunk-line' }
  | { readonly name: 'chunk'; readonly left: number }
  | { readonly name: 'chunk-end' }
  | { readonly name: 'trailers' }

export class Http1RequestParser {
  #state: ParserState = { name: 'head' }
  #bytes: Buffer = Buffer.alloc(0)
  /** Bytes of an incomplete head that hold no end, so that each is looked at once. */
  #searched = 0

  push(bytes: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? bytes : Buffer.concat([this.#bytes, bytes])
  }

  /** Bytes that came and were not handed out. */
  get bufferedBytes(): number {
    return this.#bytes.length
  }

  /** Whether a head has begun and not ended. */
  get isInHead(): boolean {
    return this.#state.name === 'head' && this.#bytes.length > 0
  }

  /** Whether all of a body was handed out but its end: what is read then has no bytes of it. */
  get isBodyOver(): boolean {
    switch (this.#state.name) {
      case 'sized':
        return this.#state.left === 0
      case 'chunk-end':
        return this.#isLastChunk(2)
      case 'chunk-line':
        return this.#isLastChunk(0)
      case 'trailers':
        return true
      default:
        return false
    }
  }

  /** @param at where the line of a size begins */
  #isLastChunk(at: number): boolean {
    return LAST_CHUNK.test(this.#bytes.toString('latin1', at, at + MAX_CHUNK_LINE_BYTES + 2))
  }

  /** After a head: how its body goes on. */
  readBody(framing: BodyFraming): void {
    this.#state = framing === 'chunked' ? { name: 'chunk-line' } : { name: 'sized', left: framing }
  }

  /** All that came and is no HTTP any more. */
  takeRest(): Buffer {
    this.#state = { name: 'stopped' }
    return this.#take(this.#bytes.length)
  }

  /**
   * The next event; undefined when more bytes are needed, or `readBody` after a head.
   * @throws {Refusal} when what came is no request
   */
  next(): RequestEvent | undefined {
    switch (this.#state.name) {
      case 'head':
        return this.#nextHead()
      case 'stopped':
        return undefined
      case 'sized':
        return this.#nextOfSized(this.#state.left)
      case 'chunk-line':
        return this.#nextChunkLine()
      case 'chunk':
        return this.#nextOfChunk(this.#state.left)
      case 'chunk-end':
        return this.#nextChunkEnd()
      case 'trailers':
        return this.#nextTrailers()
    }
  }

  #nextHead(): RequestEvent | undefined {
    // RFC 9112, section 2.2: empty lines before a request are skipped.
    while (this.#bytes.length >= 2 && this.#bytes[0] === CR && this.#bytes[1] === LF) this.#take(2)
    if (this.#bytes.length >= 1 && this.#bytes[0] === LF) throw malformed()
    const text = this.#takeLines('head')
    if (text === undefined) return undefined
    const lines = text.split('\r\n')
    const [, method, target, major, minor] = REQUEST_LINE.exec(lines[0] as string) ?? []
    if (method === undefined || target === undefined) throw malformed()
    if (major !== '1' || (minor !== '0' && minor !== '1')) {
      throw new Refusal('http-version-unsupported', 'the request is neither HTTP/1.1 nor HTTP/1.0')
    }
    this.#state = { name: 'stopped' }
    const minorVersion = minor === '0' ? 0 : 1
    return { kind: 'head', head: { method, target, minorVersion, fields: parseFields(lines.slice(1)) } }
  }

  #nextOfSized(left: number): RequestEvent | undefined {
    if (left === 0) return this.#end([])
    const bytes = this.#take(Math.min(left, this.#bytes.length))
    if (bytes.length === 0) return undefined
    this.#state = { name: 'sized', left: left - bytes.length }
    return { kind: 'data', bytes }
  }

  #nextChunkLine(): RequestEvent | undefined {
    const end = this.#bytes.indexOf('\r\n')
    if (end === -1 ? this.#bytes.length > MAX_CHUNK_LINE_BYTES : end > MAX_CHUNK_LINE_BYTES) throw malformed()
    if (end === -1) return undefined
    const [, size] = CHUNK_LINE.exec(this.#take(end + 2).toString('latin1', 0, end)) ?? []
    if (size === undefined) throw malformed()
    const left = Number.parseInt(size, 16)
    this.#state = left === 0 ? { name: 'trailers' } : { name: 'chunk', left }
    return this.next()
  }

  #nextOfChunk(left: number): RequestEvent | undefined {
    const bytes = this.#take(Math.min(left, this.#bytes.length))
    if (bytes.length === 0) return undefined
    this.#state = left === bytes.length ? { name: 'chunk-end' } : { name: 'chunk', left: left - bytes.length }
    return { kind: 'data', bytes }
  }

  #nextChunkEnd(): RequestEvent | undefined {
    if (this.#bytes.length < 2) return undefined
    const end = this.#take(2)
    if (end[0] !== CR || end[1] !== LF) throw malformed()
    this.#state = { name: 'chunk-line' }
    return this.next()
  }

  #nextTrailers(): RequestEvent | undefined {
    if (this.#bytes.length >= 2 && this.#bytes[0] === CR && this.#bytes[1] === LF) {
      this.#take(2)
      return this.#end([])
    }
    const text = this.#takeLines('trailers')
    return text === undefined ? undefined : this.#end(parseFields(text.split('\r\n')))
  }

  #end(trailers: RawFields): RequestEvent {
    this.#state = { name: 'head' }
    return { kind: 'end', trailers }
  }

  /** The lines up to an empty one, without it; undefined when that has not come. */
  #takeLines(what: 'head' | 'trailers'): string | undefined {
    // The end may have begun with the last three bytes that were looked at.
    const end = this.#bytes.indexOf('\r\n\r\n', Math.max(0, this.#searched - 3))
    if (end > MAX_REQUEST_HEAD_BYTES || (end === -1 && this.#bytes.length > MAX_REQUEST_HEAD_BYTES)) {
      throw new Refusal('head-too-large', `the request's ${what} has more than ${MAX_REQUEST_HEAD_BYTES} bytes`)
    }
    this.#searched = end === -1 ? this.#bytes.length : 0
    return end === -1 ? undefined : this.#take(end + 4).toString('latin1', 0, end)
  }

  #take(count: number): Buffer {
    const taken = this.#bytes.subarray(0, count)
    this.#bytes = this.#bytes.subarray(count)
    return taken
  }
}

const CR = 0x0d
const LF = 0x0a

function parseFields(lines: readonly string[]): string[] {
  return lines.flatMap((line) => {
    const [, name, value] = FIELD_LINE.exec(line) ?? []
    if (name === undefined || value === undefined) throw malformed()
    return [name, value]
  })
}

function malformed(): Refusal {
  return new Refusal('bad-request', 'the request is not valid HTTP/1.1')
}
