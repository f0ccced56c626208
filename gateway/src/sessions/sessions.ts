// Who may open tunnels. A session proves itself by a token of the config, kept as SHA-256 only and compared as such in
// constant time, or by a signed one (token-verifier.ts). What it proved itself with upgrades the WebSocket as Bearer and
// comes again as Basic in the CONNECT head.

import { createHash, timingSafeEqual } from 'node:crypto'
import type { Policy } from '../policy/policy.js'
import { Refusal } from '../refusal.js'
import { hasExpired, type Session } from './session.js'
import { SessionUsage } from './session-usage.js'
import { TokenVerifier, type TokenVerifierConfig } from './token-verifier.js'

/** A session as the config has it. */
export interface SessionConfig {
  /** User name of the Basic credential. */
  readonly id: string
  /** SHA-256 of the token, 64 lower-case hex digits. */
  readonly tokenSha256: string
  /** When it ends, in milliseconds since 1970; without it, when it leaves the config. */
  readonly expiresAtMs?: number
  /** Without it, the top level of the config. */
  readonly policy?: Policy
}

/** The hash under which a token is stored, in hex. */
export function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}

/** Uses by session, kept through a reload: limits are not reset by it. */
export class SessionUsages {
  readonly #usages = new Map<string, SessionUsage>()

  of(issuer: string | undefined, id: string): SessionUsage {
    const key = `${issuer ?? ''}\n${id}`
    const known = this.#usages.get(key)
    if (known !== undefined) return known
    for (const [other, usage] of this.#usages) if (usage.isIdle) this.#usages.delete(other)
    const usage = new SessionUsage()
    this.#usages.set(key, usage)
    return usage
  }
}

/** What `Sessions` takes from the config. */
export interface SessionsConfig extends Policy {
  readonly sessions: readonly SessionConfig[]
  readonly jwt: readonly TokenVerifierConfig[]
}

/** All sessions of a gateway. */
export class Sessions {
  readonly #sessions: readonly Session[]
  readonly #verifiers: readonly TokenVerifier[]
  readonly #usages: SessionUsages

  constructor(config: SessionsConfig, usages: SessionUsages) {
    this.#usages = usages
    this.#verifiers = config.jwt.map((jwt) => new TokenVerifier(jwt, config))
    this.#sessions = config.sessions.map(({ id, tokenSha256, expiresAtMs, policy = config }) => {
      const tokenHash = Buffer.from(tokenSha256, 'hex')
      return { id, tokenHash, policy, expiresAtMs, usage: usages.of(undefined, id), issuer: undefined }
    })
  }

  /**
   * The session whose token an `Authorization: Bearer` value carries (RFC 6750, section 2.1).
   * @throws {Refusal}
   */
  async authenticateBearer(value: string | undefined): Promise<Session> {
    const token = credentials(value, 'bearer')
    if (token === undefined) throw new Refusal('unauthorized', 'the session token is missing')
    const session = this.#findStored(token) ?? (await this.#verify(token))
    if (hasExpired(session)) throw new Refusal('session-expired', 'the session has ended')
    return session
  }

  #findStored(token: string): Session | undefined {
    const hash = sha256(Buffer.from(token, 'latin1'))
    let found: Session | undefined
    // Every session is compared, so that the time does not tell which one came near.
    for (const session of this.#sessions) if (timingSafeEqual(session.tokenHash, hash)) found = session
    return found
  }

  async #verify(token: string): Promise<Session> {
    for (const verifier of this.#verifiers) {
      const verified = await verifier.verify(token)
      if (verified === undefined) continue
      const { id, issuer } = verified
      const tokenHash = sha256(Buffer.from(token, 'latin1'))
      return { ...verified, tokenHash, usage: this.#usages.of(issuer, id) }
    }
    throw new Refusal('unauthorized', 'the session token is not known')
  }

  /** Whether a session that was let in before a reload would still be. */
  admits(session: Session): boolean {
    if (session.issuer !== undefined) return this.#verifiers.some((verifier) => verifier.admits(session))
    return this.#sessions.some(
      ({ id, tokenHash }) => id === session.id && timingSafeEqual(tokenHash, session.tokenHash),
    )
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
