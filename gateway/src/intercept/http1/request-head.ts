// What the head of an HTTP/1.1 request says about its body, its connection and another protocol (RFC 9112). Pure.

import { listOf, valuesOf } from '../../fields.js'
import { Refusal } from '../../refusal.js'
import type { BodyLength } from '../request-head.js'
import type { Http1RequestHead } from './request-parser.js'

/**
 * How long the body is.
 * @throws {Refusal} when two parsers could see two lengths (RFC 9112, section 6.3)
 */
export function bodyLengthOf({ fields, minorVersion }: Http1RequestHead): BodyLength {
  const codings = valuesOf(fields, 'transfer-encoding')
  const lengths = valuesOf(fields, 'content-length')
  if (codings.length > 0) {
    // RFC 9112, section 6.1: `chunked` is the one coding that both sides know.
    const isChunked = codings.length === 1 && codings[0]?.toLowerCase() === 'chunked'
    if (!isChunked || lengths.length > 0 || minorVersion === 0) {
      throw new Refusal('bad-request', "the request's framing is ambiguous")
    }
    return 'unknown'
  }
  if (lengths.length === 0) return 'none'
  if (lengths.length > 1 || !/^[0-9]{1,15}$/.test(lengths[0] as string)) {
    throw new Refusal('bad-request', 'Content-Length is not one number')
  }
  return Number(lengths[0])
}

/** Whether the client takes another answer on this connection (RFC 9112, section 9.3). */
export function keepsAlive({ fields, minorVersion }: Http1RequestHead): boolean {
  return minorVersion === 1 && !listOf(fields, 'connection').includes('close')
}

/**
 * The protocol that the client asks to go on in: WebSocket (RFC 6455, section 4.1). Any other is ignored, as a server may
 * (RFC 9110, section 7.8): `h2c` would take requests past the checks, and nobody speaks the rest.
 */
export function upgradeOf(head: Http1RequestHead, bodyLength: BodyLength): 'websocket' | undefined {
  const [protocol, ...others] = listOf(head.fields, 'upgrade')
  const isAskedFor =
    protocol === 'websocket' && others.length === 0 && listOf(head.fields, 'connection').includes('upgrade')
  return isAskedFor && head.method === 'GET' && bodyLength === 'none' && head.minorVersion === 1
    ? 'websocket'
    : undefined
}
