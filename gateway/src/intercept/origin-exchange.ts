// The origin's side of one request, the same for HTTP/1.1 and HTTP/2: sent in http1/ and http2/, awaited in exchange.ts.

import type { Duplex, Readable, Writable } from 'node:stream'
import type { RawFields } from '../fields.js'
import { Refusal } from '../refusal.js'
import type { BodyLength, Downstream } from './downstream.js'
import { type OriginRequest, originTrailers } from './origin-request.js'

/** 32 KiB, twice node's default and what common origins take at most, in either direction. */
export const MAX_HTTP_HEAD_BYTES = 32_768
/** Interim answers before the final one. Real origins send one or two (100, 103); a flood never ends. */
const MAX_INTERIM_RESPONSES = 16

/** The origin's answer. */
export interface OriginResponse {
  readonly status: number
  readonly reason: string
  readonly fields: RawFields
  readonly hasBody: boolean
  readonly body: Readable
  /** After the end of `body`: whether that was the end of the answer, and no cut. */
  isBodyWhole(): boolean
  /** After the end of `body`. */
  trailers(): RawFields
  /** The other protocol, after a 101 that was asked for. */
  readonly upgraded?: Duplex
}

/** A request on its way. */
export interface OriginExchange {
  readonly response: Promise<OriginResponse>
  /** Whether the connection had served before, so that a failure may only mean that it was closed since. */
  readonly isReused: boolean
  /** Gives the exchange up: the client is gone, or was refused. */
  destroy(): void
}

/** What the sender of a request needs besides it. */
export interface SendOptions {
  readonly downstream: Downstream
  /** From the end of the request to the head of its answer. */
  readonly responseHeadTimeoutMs: number
  readonly onInterim: (status: number, fields: RawFields) => void
  readonly onBodyBytes: (count: number) => void
}

/** Whether a body is to come. */
export function hasBody({ bodyLength }: { readonly bodyLength: BodyLength }): boolean {
  return bodyLength !== 'none' && bodyLength !== 0
}

/**
 * Streams the request's body to `writable`. Not by `pipeline`: it destroys the client's side when the origin fails, and
 * with it the connection that our answer has to go through.
 */
export function uploadBody(
  request: OriginRequest,
  writable: Writable,
  { downstream, onBodyBytes }: SendOptions,
  { end, abort }: { readonly end: (trailers: string[]) => void; readonly abort: () => void },
): void {
  const { body } = downstream
  const onData = (bytes: Buffer) => onBodyBytes(bytes.length)
  const onEnd = () => {
    // A reset ends an HTTP/2 stream too; the origin must not take that for the end of the body.
    if (downstream.isBodyWhole) end(originTrailers(downstream.trailers, request.injected))
    else abort()
  }
  // An empty one may have ended before anybody looked.
  if (body.readableEnded) {
    onEnd()
    return
  }
  body.on('data', onData).once('end', onEnd)
  body.pipe(writable, { end: false })
  writable.once('close', () => body.off('data', onData).off('end', onEnd).unpipe(writable))
}

/** Calls back for each interim answer, and refuses a flood of them. */
export class InterimCounter {
  readonly #forward: (status: number, fields: RawFields) => void
  #count = 0

  constructor(forward: (status: number, fields: RawFields) => void) {
    this.#forward = forward
  }

  /** @throws {Refusal} */
  take(status: number, fields: RawFields): void {
    this.#count++
    if (this.#count > MAX_INTERIM_RESPONSES) {
      throw new Refusal('response-invalid', 'the origin sent too many interim answers')
    }
    this.#forward(status, fields)
  }
}
