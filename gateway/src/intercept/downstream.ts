// The client's side of one request, the same for HTTP/1.1 and HTTP/2: what exchange.ts reads from it and writes to it.

import type { Duplex, Readable, Writable } from 'node:stream'
import type { RawFields } from '../fields.js'
import type { Refusal } from '../refusal.js'

/** How long a request's body is. */
export type BodyLength = number | 'none' | 'unknown'

/** What an intercepted client asked for, out of either protocol. */
export interface RequestHead {
  readonly method: string
  /** The request target as it came. */
  readonly target: string
  /** Every place in which the request names its host: Host, `:authority`. At least one. */
  readonly hosts: readonly string[]
  /** Without the pseudo fields of HTTP/2. */
  readonly fields: RawFields
  readonly bodyLength: BodyLength
  /** The client asks to go on in another protocol. */
  readonly upgrade?: 'websocket'
}

/** The head of an answer. */
export interface ResponseHead {
  readonly status: number
  /** HTTP/1.1 only. */
  readonly reason: string
  readonly fields: RawFields
  readonly hasBody: boolean
}

/** One request of an intercepted client, and its answer. */
export interface Downstream {
  readonly method: string
  /** The request target as it came, checked or not. */
  readonly target: string
  /**
   * The checked head.
   * @throws {Refusal} when the request is malformed
   */
  readHead(): RequestHead

  readonly body: Readable
  /** After the end of `body`: whether that was the end of the request, and no cut. */
  readonly isBodyWhole: boolean
  /** After the end of `body`. */
  readonly trailers: RawFields

  /** Status of the head that was sent; 0 before. */
  readonly status: number
  /** Whether nothing can be sent any more. */
  readonly isClosed: boolean
  /** Resolves when the exchange is over: true when the client got the whole answer. */
  readonly closed: Promise<boolean>
  /** A 1xx answer other than 101. */
  sendInterim(status: number, fields: RawFields): void
  sendHead(head: ResponseHead): void
  /** Takes the body after `sendHead`; ended by `end` only. */
  readonly sink: Writable
  /** The answer is whole. */
  end(trailers: RawFields): void
  /** Sends an answer of our own. Only before `sendHead`. */
  refuse(refusal: Refusal): void
  /** Ends the answer in a way that no client takes for a clean end. */
  cutOff(): void
  /** Answers 101 and hands out what is no HTTP any more. Only when the head has `upgrade`. */
  switchProtocols(fields: RawFields): Duplex
}
