// Who may open tunnels. Tokens are kept as SHA-256 only, and compared as such in constant time: the comparison's length
// and duration say nothing about the token.

import { createHash, timingSafeEqual } from 'node:crypto'

/** A session as the config has it. */
export interface SessionConfig {
  /** User name of the Basic credential. */
  readonly id: string
  /** SHA-256 of the token, 64 lower-case hex digits. */
  readonly tokenSha256: string
}

/** A session that proved its token. */
export interface Session {
  readonly id: string
  readonly tokenHash: Buffer
}

/** The hash under which a token is stored, in hex. */
export function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}

/** All sessions of a gateway. */
export class Sessions {
  readonly #sessions: readonly Session[]

  constructor(configs: readonly SessionConfig[]) {
    this.#sessions = configs.map(({ id, tokenSha256 }) => ({ id, tokenHash: Buffer.from(tokenSha256, 'hex') }))
  }

  /** The session whose token an `Authorization: Bearer` value carries (RFC 6750, section 2.1). */
  authenticateBearer(value: string | undefined): Session | undefined {
    const token = credentials(value, 'bearer')
    if (token === undefined) return undefined
    const hash = sha256(Buffer.from(token, 'latin1'))
    let found: Session | undefined
    // Every session is compared, so that the time does not tell which one came near.
    for (const session of this.#sessions) if (timingSafeEqual(session.tokenHash, hash)) found = session
    return found
  }
}

/** Whether a `Proxy-Authorization: Basic` value (RFC 7617) is of this very session: its id and its token. */
export function isBasicOf(session: Session, value: string | undefined): boolean {
  const encoded = credentials(value, 'basic')
  if (encoded === undefined || !/^[A-Za-z0-9+/]+={0,2}$/.test(encoded)) return false
  const decoded = Buffer.from(encoded, 'base64')
  const colon = decoded.indexOf(0x3a)
  if (colon === -1) return false
  const isSameId = timingSafeEqual(sha256(decoded.subarray(0, colon)), sha256(Buffer.from(session.id)))
  const isSameToken = timingSafeEqual(sha256(decoded.subarray(colon + 1)), session.tokenHash)
  return isSameId && isSameToken
}

/** What follows the scheme, when it is this one; schemes are case-insensitive (RFC 9110, section 11.1). */
function credentials(value: string | undefined, scheme: string): string | undefined {
  const match = /^([A-Za-z]+) +([!-~]+)$/.exec(value ?? '')
  return match?.[1]?.toLowerCase() === scheme ? match[2] : undefined
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}
