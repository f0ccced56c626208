// What is asked of the origin, and what goes back of its answer: which fields pass. Pure, and the same for HTTP/1.1 and 2.
//
// Hop-by-hop fields go (RFC 9110, section 7.6.1), also the ones that Connection names; then the rule does its part
// (credentials/).

import type { RuledFields } from '../credentials/apply-rule.js'
import { endToEndFields, listOf, looseName, type RawFields, trailerFields } from '../fields.js'
import type { MatchedRequest } from './matched-request.js'
import type { BodyLength } from './request-head.js'

/** What is asked of the origin, whichever protocol that speaks. */
export interface OriginRequest {
  readonly method: string
  /** Origin-form: path and query. */
  readonly target: string
  /** As the client spelt it: what it signed stays valid. */
  readonly host: string
  /** After the rule; without Host and framing. */
  readonly fields: readonly string[]
  /** Names of the fields that a secret went into, lower case. */
  readonly injected: readonly string[]
  readonly bodyLength: BodyLength
  /** The client takes trailers, and says so (gRPC does). */
  readonly wantsTrailers: boolean
  readonly upgrade?: 'websocket'
}

/** Writes a request anew for the origin. */
export function originRequest({ head }: MatchedRequest, { fields, injected }: RuledFields): OriginRequest {
  const { method, target, hosts, bodyLength, upgrade } = head
  return {
    method,
    target,
    host: hosts[0],
    fields,
    injected,
    bodyLength,
    wantsTrailers: listOf(head.fields, 'te').includes('trailers'),
    ...(upgrade !== undefined && { upgrade }),
  }
}

/** The trailers of a request's body for the origin: nothing there that could stand in for what was injected. */
export function originTrailers(fields: RawFields, injected: readonly string[]): string[] {
  const names = new Set(injected.map(looseName))
  return trailerFields(fields, (field) => !names.has(looseName(field)))
}

/** The fields of the origin's answer for the client: all but the hop-by-hop ones. */
export function clientFields(fields: RawFields): string[] {
  return endToEndFields(fields, () => true)
}
