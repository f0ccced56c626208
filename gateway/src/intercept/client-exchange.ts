// The client's side of one request, the same for HTTP/1.1 and HTTP/2: what exchange.ts asks of it, and hears from it.

import type { AuditErrorCode } from '../audit/audit-record.js'
import type { RawFields } from '../fields.js'
import type { Refusal } from '../refusal.js'
import type { RequestHead } from './request-head.js'

/** The head of an answer. */
export interface AnswerHead {
  readonly status: number
  /** HTTP/1.1 only. */
  readonly reason: string
  readonly fields: RawFields
  readonly hasBody: boolean
}

/** One request of an intercepted client, and its answer. No event comes before `start`. */
export interface ClientExchange {
  readonly method: string
  /** The request target as it came, checked or not. */
  readonly target: string
  /**
   * The checked head.
   * @throws {Refusal} when the request is malformed
   */
  readHead(): RequestHead
  /** From here on events come. The body is paused until `resumeBody`. */
  start(handler: ClientHandler): void
  pauseBody(): void
  resumeBody(): void
  /** A 1xx answer other than 101. */
  sendInterim(status: number, fields: RawFields): void
  sendHead(head: AnswerHead): void
  /** A part of the body, or of the other protocol; false when no more should come until `clientOnDrain`. */
  write(bytes: Buffer): boolean
  /** The answer is whole, or the other protocol is over on the origin's side. */
  end(trailers: RawFields): void
  /** Sends an answer of our own. Only before `sendHead`. */
  refuse(refusal: Refusal): void
  /**
   * Nothing was done with the request: says so, and the client may send it again whatever its method. Where the protocol has no
   * word for that, it is `refuse`. Only before `sendHead`. Returns the status that the client gets; 0 for none.
   */
  giveBack(refusal: Refusal): number
  /** Ends the answer in a way that no client takes for a clean end. */
  cutOff(): void
  /** Answers 101; what comes and goes from here on is the other protocol's. Only when the head has `upgrade`. */
  switchProtocols(fields: RawFields): void
}

/**
 * What the system has taken of an answer: all of it with its end, all that there has been of it, or less. A client that counts the
 * bytes of a Content-Length may leave before the end.
 */
export type HandedOver = 'to-its-end' | 'so-far' | 'in-part'

/** What happens on the client's side. */
export interface ClientHandler {
  clientOnData(bytes: Buffer): void
  /** The whole request was received, or the other protocol is over on the client's side. */
  clientOnEnd(trailers: RawFields): void
  /** What came is no request after all. */
  clientOnFailure(refusal: Refusal): void
  clientOnDrain(): void
  /**
   * The last event, and it always comes.
   * @param reason why the answer was not handed over, where that is known. Default: `client-closed`
   */
  clientOnClose(handedOver: HandedOver, reason?: AuditErrorCode): void
}
