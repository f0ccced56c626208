// An answer that opens no tunnel, in words of the hop that gave it.

import { ERROR_CODES, type ErrorCode } from '../errors.js'
import { type Hop, hopOf, Problem } from './check.js'
import type { HopWords } from './words.js'

/** A refusal in words of the hop that refused, before the tunnel is open or inside of it. */
export function tunnelRefused({ code, hint, text, isOfRelay }: HopWords, what: string): Problem {
  const known = code ?? 'gateway-connect-refused'
  return new Problem({
    code: known,
    hop: isOfRelay ? hopOfRelaysWord(known) : ORIGIN_CODES.test(known) ? 'origin' : 'gateway',
    hint: hint ?? ERROR_CODES['gateway-connect-refused'].hint,
    message: `${what}: ${text}`,
  })
}

/** The relay tells also of what stands behind it. */
function hopOfRelaysWord(code: string): Hop {
  return Object.hasOwn(ERROR_CODES, code) ? hopOf(code as ErrorCode) : 'relay'
}

/** What a gateway of this repository says when it is the host behind it that failed (gateway/src/refusal.ts). */
const ORIGIN_CODES = /^(?:dns-failed|connection-\w+|certificate-rejected|tls-failed|response-\w+)$/
