// Session tokens that an issuer signed: JSON Web Tokens (RFC 7519), checked against its key set (RFC 7517) by `jose`. Only
// asymmetric signatures are known here: `none`, and a MAC whose key would be the public key, are no algorithms.

import { readFileSync, statSync } from 'node:fs'
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  errors,
  type JSONWebKeySet,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify,
} from 'jose'
import type { Policy } from '../policy/policy.js'
import { Refusal } from '../refusal.js'
import type { Session } from './session.js'

/** The signatures that a key set may be used with. */
export const TOKEN_ALGORITHMS = ['EdDSA', 'ES256', 'ES384', 'PS256', 'RS256'] as const

/** One issuer as the config has it. */
export interface TokenVerifierConfig {
  readonly issuer: string
  readonly audience: string
  readonly jwks: { readonly url: URL } | { readonly file: string }
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
const JWKS_TIMEOUT_MS = 5_000
/** An unknown key id asks for the set again, but not more often. */
const JWKS_COOLDOWN_MS = 30_000
/** The set is asked for again after this: how long a key that the issuer withdrew is still taken. */
const JWKS_MAX_AGE_MS = 600_000

const SESSION_ID = /^[!-9;-~]{1,128}$/

/** Checks the tokens of one issuer. */
export class TokenVerifier {
  readonly #config: TokenVerifierConfig
  readonly #defaultPolicy: Policy
  readonly #keys: JWTVerifyGetKey

  constructor(config: TokenVerifierConfig, defaultPolicy: Policy) {
    this.#config = config
    this.#defaultPolicy = config.policy ?? defaultPolicy
    this.#keys = createKeys(config.jwks)
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

function createKeys(jwks: TokenVerifierConfig['jwks']): JWTVerifyGetKey {
  if ('file' in jwks) return createFileKeys(jwks.file)
  return createRemoteJWKSet(jwks.url, {
    timeoutDuration: JWKS_TIMEOUT_MS,
    cooldownDuration: JWKS_COOLDOWN_MS,
    cacheMaxAge: JWKS_MAX_AGE_MS,
  })
}

/** Read again when the file is another one; the last good set stays otherwise. */
function createFileKeys(file: string): JWTVerifyGetKey {
  let stamp = ''
  let keys: ReturnType<typeof createLocalJWKSet> | undefined
  return async (header, token) => {
    const stat = statSync(file, { throwIfNoEntry: false })
    const found = `${stat?.ino} ${stat?.mtimeMs} ${stat?.size}`
    if (found !== stamp) {
      keys = readKeySet(file) ?? keys
      stamp = found
    }
    if (keys === undefined) throw new Error('there is no key set')
    return keys(header, token)
  }
}

function readKeySet(file: string): ReturnType<typeof createLocalJWKSet> | undefined {
  try {
    return createLocalJWKSet(parseKeySet(readFileSync(file, 'utf8')))
  } catch {
    return undefined
  }
}

/** @throws {Error} when it is no key set with at least one key, or one with a secret in it */
export function parseKeySet(text: string): JSONWebKeySet {
  const set = JSON.parse(text) as JSONWebKeySet
  createLocalJWKSet(set)
  if (set.keys.length === 0 || set.keys.some((key) => key.kty === 'oct' || key.d !== undefined)) {
    throw new Error('must be a set of public keys')
  }
  return set
}
