// Session tokens that an issuer signed: JSON Web Tokens (RFC 7519), checked against its key set (key-set.ts) by `jose`. Only
// asymmetric signatures are known here: `none`, and a MAC whose key would be the public key, are no algorithms.

import { errors, type JWTPayload, jwtVerify } from 'jose'
import type { Policy } from '../policy/policy.js'
import { Refusal } from '../refusal.js'
import type { KeySet, KeySetSource } from './key-set.js'
import type { Session } from './session.js'

/** The signatures that a key set may be used with. */
export const TOKEN_ALGORITHMS = ['EdDSA', 'ES256', 'ES384', 'PS256', 'RS256'] as const

/** One issuer as the config has it. */
export interface TokenVerifierConfig {
  readonly issuer: string
  readonly audience: string
  readonly jwks: KeySetSource
  readonly algorithms: readonly (typeof TOKEN_ALGORITHMS)[number][]
  /** The claim with the session's id. */
  readonly sessionClaim: string
  /** The claim with the name of the policy; without it every token has the same one. */
  readonly policyClaim: string | undefined
  /** By name; a token that names another one is refused. */
  readonly policies: ReadonlyMap<string, Policy>
  /** For tokens that name none; undefined is the top level of the config. */
  readonly policy: Policy | undefined
  /** Sessions that ended before their tokens do. */
  readonly revoked: readonly string[]
}

/** What the gateway keeps of a verified token. */
export type VerifiedSession = Pick<Session, 'id' | 'policy' | 'expiresAtMs' | 'issuer'>

/** Clocks of well-kept machines differ by less. */
const CLOCK_TOLERANCE_SECONDS = 5

const SESSION_ID = /^[!-9;-~]{1,128}$/

/** Checks the tokens of one issuer. */
export class TokenVerifier {
  readonly #config: TokenVerifierConfig
  readonly #defaultPolicy: Policy
  readonly #keys: KeySet

  constructor(config: TokenVerifierConfig, defaultPolicy: Policy, keys: KeySet) {
    this.#config = config
    this.#defaultPolicy = config.policy ?? defaultPolicy
    this.#keys = keys
  }

  /** Whether a token with these claims is for this verifier, if it is genuine. Nothing of it is believed yet. */
  isFor({ iss, aud }: JWTPayload): boolean {
    return iss === this.#config.issuer && [aud].flat().includes(this.#config.audience)
  }

  /**
   * The session of a token; undefined when it is no token of this issuer's.
   * @throws {Refusal} when its keys cannot be had, or its session has ended
   */
  async verify(token: string): Promise<VerifiedSession | undefined> {
    const payload = await this.#payload(token)
    return payload && this.#session(payload)
  }

  admits({ id, issuer }: Session): boolean {
    return issuer === this.#config.issuer && !this.#config.revoked.includes(id)
  }

  async #payload(token: string): Promise<JWTPayload | undefined> {
    const { issuer, audience, algorithms, sessionClaim } = this.#config
    try {
      const verified = await jwtVerify(token, this.#keys, {
        issuer,
        audience,
        algorithms: [...algorithms],
        clockTolerance: CLOCK_TOLERANCE_SECONDS,
        requiredClaims: ['exp', sessionClaim],
      })
      return verified.payload
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw new Refusal('session-expired', 'the session has ended')
      if (isAboutToken(error)) return undefined
      throw new Refusal('keys-unavailable', "the issuer's keys cannot be had now", 5)
    }
  }

  #session(payload: JWTPayload): VerifiedSession | undefined {
    const { issuer, sessionClaim, revoked } = this.#config
    const id = payload[sessionClaim]
    if (typeof id !== 'string' || !SESSION_ID.test(id)) return undefined
    if (revoked.includes(id)) throw new Refusal('session-expired', 'the session has ended')
    const policy = this.#policy(payload)
    return policy && { id, policy, issuer, expiresAtMs: (payload.exp as number) * 1_000 }
  }

  #policy(payload: JWTPayload): Policy | undefined {
    const { policyClaim, policies } = this.#config
    const named = policyClaim === undefined ? undefined : payload[policyClaim]
    return named === undefined ? this.#defaultPolicy : policies.get(String(named))
  }
}

/** Whether the token is wrong, and not the way to the keys. */
function isAboutToken(error: unknown): boolean {
  return (
    error instanceof errors.JOSEError &&
    !(error instanceof errors.JWKSTimeout) &&
    !(error instanceof errors.JWKSInvalid) &&
    error.code !== 'ERR_JOSE_GENERIC'
  )
}
