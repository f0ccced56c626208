// The origin's side of one request, the same for HTTP/1.1 and HTTP/2: what exchange.ts asks of it, and hears from it.

import type { RawFields } from '../fields.js'
import type { Refusal } from '../refusal.js'
import type { OriginRequest } from './origin-request.js'

/** Heads of requests: 32 KiB, twice node's default and what common origins take at most. */
export const MAX_REQUEST_HEAD_BYTES = 32_768
/** Heads of answers: 256 KiB, what browsers take; curl takes 300 KiB, Go 1 MiB. */
export const MAX_ANSWER_HEAD_BYTES = 262_144

/** Fields of an answer; what sends more is at fault, and each costs work however short it is. */
export const MAX_ANSWER_FIELDS = 1_000

/** Methods that may be sent again when a kept connection turns out to be closed (RFC 9110, section 9.2.2). */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

export function isIdempotent(method: string): boolean {
  return IDEMPOTENT.has(method)
}

/**
 * What an origin that failed may have done with a request: anything, nothing that matters when it is done twice, or nothing at
 * all (RFC 9113, section 8.7).
 */
export type Done = 'unknown' | 'repeatable' | 'nothing'

/** The head of the origin's answer. */
export interface OriginAnswer {
  readonly status: number
  readonly reason: string
  readonly fields: RawFields
  readonly hasBody: boolean
  /** The origin went on to the protocol that was asked for. */
  readonly isSwitched: boolean
}

/** A request on its way to the origin. After `destroy` no event comes. */
export interface OriginExchange {
  /** A part of the body, or of the other protocol; false when no more should come until `originOnDrain`. */
  write(bytes: Buffer): boolean
  /** The whole request was written: only after this may its connection serve another one. */
  end(trailers: RawFields): void
  pauseBody(): void
  resumeBody(): void
  /** Gives the request up; its connection is not used again. */
  destroy(): void
}

/** What happens on the origin's side. */
export interface OriginHandler {
  /** The connection is there, and the head is on its way: the body may follow. */
  originOnOpen(): void
  originOnInterim(status: number, fields: RawFields): void
  originOnAnswer(answer: OriginAnswer): void
  originOnData(bytes: Buffer): void
  /** The whole answer was received. */
  originOnEnd(trailers: RawFields): void
  originOnDrain(): void
  /** In the place of `originOnEnd`. */
  originOnFailure(refusal: Refusal, done: Done): void
}

/** Where requests of one tunnel go. No event comes before `send` has returned. */
export interface Origin {
  send(request: OriginRequest, handler: OriginHandler): OriginExchange
}
