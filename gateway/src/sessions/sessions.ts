// Who may open tunnels. A session proves itself by a token of the config, kept as SHA-256 only and compared as such in
// constant time, or by a signed one (token-verifier.ts). What it proved itself with upgrades the WebSocket as Bearer and
// comes again as Basic in the CONNECT head.

import { createHash, timingSafeEqual } from 'node:crypto'
import { decodeJwt, type JWTPayload } from 'jose'
import type { Policy } from '../policy/policy.js'
import { Refusal } from '../refusal.js'
import { parseBasic, parseBearer } from './authorization.js'
import { createKeySet, type KeySet, type KeySetSource } from './key-set.js'
import { hasExpired, type Session } from './session.js'
import type { SessionUsages } from './session-usage.js'
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

/** What `Sessions` takes from the config. */
export interface SessionsConfig extends Policy {
  readonly sessions: readonly SessionConfig[]
  readonly jwt: readonly TokenVerifierConfig[]
}

type StoredSession = Omit<Session, 'usage'>

/** All sessions of a gateway, as one config has them. */
export class Sessions {
  /** By file or URL. */
  readonly keySets = new Map<string, KeySet>()
  readonly #stored: readonly StoredSession[]
  readonly #verifiers: readonly TokenVerifier[]
  readonly #usages: SessionUsages
  /** Those that this config let in. */
  readonly #admitted = new WeakSet<Session>()

  /** @param knownKeySets those of the config before, which are not fetched again */
  constructor(config: SessionsConfig, usages: SessionUsages, knownKeySets: Sessions['keySets'] = new Map()) {
    this.#usages = usages
    this.#verifiers = config.jwt.map((jwt) => new TokenVerifier(jwt, config, this.#keySet(jwt.jwks, knownKeySets)))
    this.#stored = config.sessions.map(({ id, tokenSha256, expiresAtMs, policy = config }) => {
      return { id, tokenHash: Buffer.from(tokenSha256, 'hex'), policy, expiresAtMs, issuer: undefined }
    })
  }

  #keySet(source: KeySetSource, known: Sessions['keySets']): KeySet {
    const name = 'file' in source ? source.file : source.url.href
    const keySet = this.keySets.get(name) ?? known.get(name) ?? createKeySet(source)
    this.keySets.set(name, keySet)
    return keySet
  }

  /**
   * The session whose token the `Authorization` of an upgrade carries.
   * @throws {Refusal}
   */
  async admit(authorization: string | undefined): Promise<Session> {
    const token = parseBearer(authorization)
    if (token === undefined) throw new Refusal('unauthorized', 'the session token is missing')
    return this.#authenticate(token)
  }

  /**
   * The same session at its CONNECT, which has to prove that it is the same; where a reload came between, as this config has
   * it.
   * @throws {Refusal}
   */
  async readmit(session: Session, proxyAuthorization: string | undefined): Promise<Session> {
    const basic = parseBasic(proxyAuthorization)
    const isProof =
      basic !== undefined &&
      timingSafeEqual(sha256(basic.user), sha256(session.id)) &&
      timingSafeEqual(sha256(basic.password), session.tokenHash)
    if (!isProof) {
      throw new Refusal('credential-mismatch', 'Proxy-Authorization is not of the session that opened the WebSocket')
    }
    if (!this.#admitted.has(session)) return this.#authenticate(basic.password.toString('latin1'), session.id)
    assertNotExpired(session)
    return session
  }

  async #authenticate(token: string, expectedId?: string): Promise<Session> {
    const known = this.#findStored(token) ?? (await this.#verify(token))
    assertNotExpired(known)
    if (expectedId !== undefined && known.id !== expectedId) {
      throw new Refusal('credential-mismatch', 'the token is of another session by now')
    }
    const session = { ...known, usage: this.#usages.of(known.issuer, known.id) }
    this.#admitted.add(session)
    return session
  }

  #findStored(token: string): StoredSession | undefined {
    const hash = sha256(Buffer.from(token, 'latin1'))
    let found: StoredSession | undefined
    // Every session is compared, so that the time does not tell which one came near.
    for (const session of this.#stored) if (timingSafeEqual(session.tokenHash, hash)) found = session
    return found
  }

  /** Only the issuer that the token names is asked for its keys: what another one does is no concern of this token. */
  async #verify(token: string): Promise<StoredSession> {
    const claims = unverifiedClaims(token)
    for (const verifier of this.#verifiers.filter((verifier) => verifier.isFor(claims))) {
      const verified = await verifier.verify(token)
      if (verified !== undefined) return { ...verified, tokenHash: sha256(Buffer.from(token, 'latin1')) }
    }
    throw new Refusal('unauthorized', 'the session token is not known')
  }

  /** Whether a session that was let in before a reload would still be. */
  admits(session: Session): boolean {
    if (session.issuer !== undefined) return this.#verifiers.some((verifier) => verifier.admits(session))
    return this.#stored.some(({ id, tokenHash }) => id === session.id && timingSafeEqual(tokenHash, session.tokenHash))
  }
}

function assertNotExpired(session: StoredSession): void {
  if (hasExpired(session)) throw new Refusal('session-expired', 'the session has ended')
}

/** None, where it is no JSON Web Token. */
function unverifiedClaims(token: string): JWTPayload {
  try {
    return decodeJwt(token)
  } catch {
    return {}
  }
}

function sha256(bytes: string | Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}
