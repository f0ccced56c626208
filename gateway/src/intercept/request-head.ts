// What an intercepted client asked for, out of either protocol.

import type { RawFields } from '../fields.js'

/** How long a request's body is, in bytes. */
export type BodyLength = number | 'none' | 'unknown'

export interface RequestHead {
  readonly method: string
  /** The request target as it came. */
  readonly target: string
  /** Every place in which the request names its host: Host, `:authority`. At least one. */
  readonly hosts: readonly [string, ...string[]]
  /** Without the pseudo fields of HTTP/2. */
  readonly fields: RawFields
  readonly bodyLength: BodyLength
  /** The client asks to go on in another protocol. */
  readonly upgrade?: 'websocket'
}

/** Whether a body is to come. */
export function hasBody({ bodyLength }: { readonly bodyLength: BodyLength }): boolean {
  return bodyLength !== 'none' && bodyLength !== 0
}
