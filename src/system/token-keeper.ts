// The token of a relay, and the one that comes after it. Whoever writes the token's file may write it again while the relay runs:
// the new token is read and its file removed, the gateway is asked whether it takes it, and then it has the place of the old one.
// doc/security.md says what a hostile file gains.
//
// Rules:
// - A file that is another one, or has changed, is read; once it has rested for a moment, for it may not be written to its end yet.
// - Nothing is read into a process that is not hardened any more, and nothing that was read is used in one.
// - Until the gateway has taken the new token the old one is used, whatever the file holds. What fails is a warning.
// - Bounded: a look a second, one token on trial, a warning of each kind a minute.

import { type BigIntStats, lstatSync } from 'node:fs'
import { lstat } from 'node:fs/promises'
import { setTimeout as passed } from 'node:timers/promises'
import type { Addon } from '../addon.js'
import { asUpstreamProxyError, type ErrorCode, UpstreamProxyError } from '../errors.js'
import type { Logger } from '../log.js'
import { readSessionToken, type SessionToken } from './token.js'

const LOOK_INTERVAL_MS = 1_000
/** A token is written with one call, or with a few right after each other. */
const SETTLE_MS = 100
/** Between trials: doubled from the first to the longest. */
const FIRST_RETRY_MS = 1_000
const LONGEST_RETRY_MS = 10_000
/** Milliseconds that a token may be refused: the gateway's clock may be as far behind that of who made it. */
const REFUSED_LIMIT_MS = 300_000
const WARNING_INTERVAL_MS = 60_000

/** What may be over at the next look, though the file is the same. */
const PASSING: ReadonlySet<ErrorCode> = new Set(['harden-failed', 'token-unreadable', 'token-call-denied'])

/** Asks the gateway whether it takes a token: undefined when it does, `gateway-token-refused` when it does not. */
export type TokenTrial = (token: SessionToken, ended: AbortSignal) => Promise<UpstreamProxyError | undefined>

export interface TokenKeeperInputs {
  readonly path: string
  /** Without it tokens lie in the JavaScript heap. */
  readonly addon: Addon | undefined
  /** Throws where the process can be looked into. */
  readonly assertHardened: () => void
  readonly logger: Logger
}

/** A token that has been read and not been taken yet. */
interface Candidate {
  readonly token: SessionToken
  readonly ending: AbortController
}

/** Lends out the token that is in use. */
export class TokenKeeper {
  readonly #inputs: TokenKeeperInputs
  /** For what comes of files that anybody of this user can write. */
  readonly #logger: Logger
  readonly #warnedAt = new Map<ErrorCode, number>()
  #token: SessionToken
  #generation = 0
  #candidate: Candidate | undefined
  /** The file that has been dealt with, and the one that was there at the last look. */
  #known: string | undefined
  #found: string | undefined
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  /**
   * Reads the first token.
   * @throws {UpstreamProxyError} as readSessionToken(), or what `assertHardened` throws
   */
  constructor(inputs: TokenKeeperInputs) {
    this.#inputs = inputs
    this.#logger = { ...inputs.logger, warn: (error) => this.#warn(error) }
    // Before it is read: what is written from now on is another one.
    this.#known = describe(lstatSync(inputs.path, { bigint: true, throwIfNoEntry: false }))
    this.#token = this.#read(inputs.logger)
  }

  withToken<T>(use: (token: Buffer) => T): T {
    return this.#token.withToken(use)
  }

  /** Changes whenever the token does. */
  generation(): number {
    return this.#generation
  }

  /** Empties and removes the file of the first token; what fails is a warning. */
  removeFile(): void {
    this.#removeFileOf(this.#token)
  }

  /** Looks for new tokens from now on, without keeping the process alive. */
  follow(tryToken: TokenTrial): void {
    this.#lookIn(LOOK_INTERVAL_MS, tryToken)
  }

  /** Looks no more; the token stays. */
  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
    this.#dropCandidate()
  }

  /** Overwrites the token, which cannot be used any more. */
  wipe(): void {
    this.stop()
    this.#token.wipe()
  }

  // -- The file ------------------------------------------------------------------------------------------------------------

  #lookIn(waitMs: number, tryToken: TokenTrial): void {
    if (this.#isStopped) return
    this.#timer = setTimeout(async () => this.#lookIn(await this.#look(tryToken), tryToken), waitMs)
    this.#timer.unref()
  }

  /** How long to wait for the next look. Waits for the file system elsewhere, so that one that hangs holds up no tunnel. */
  async #look(tryToken: TokenTrial): Promise<number> {
    const stats = await lstat(this.#inputs.path, { bigint: true }).catch(() => undefined)
    const found = describe(stats)
    const hasRested = found === this.#found
    this.#found = found
    if (found === undefined || found === this.#known || this.#isStopped) return LOOK_INTERVAL_MS
    if (!hasRested) return SETTLE_MS
    this.#take(found, tryToken)
    return LOOK_INTERVAL_MS
  }

  #take(found: string, tryToken: TokenTrial): void {
    try {
      this.#inputs.assertHardened()
      const token = this.#read(this.#logger)
      this.#known = found
      this.#dropCandidate()
      this.#candidate = { token, ending: new AbortController() }
      this.#removeFileOf(token)
      void this.#prove(this.#candidate, tryToken)
    } catch (thrown) {
      const error = asUpstreamProxyError(thrown, 'internal-error', 'the new session token was not read')
      if (!PASSING.has(error.code)) this.#known = found
      this.#warn(error)
    }
  }

  #read(logger: Logger): SessionToken {
    const { path, addon, assertHardened } = this.#inputs
    const token = readSessionToken(path, addon, logger)
    try {
      assertHardened()
      return token
    } catch (error) {
      token.wipe()
      throw error
    }
  }

  #removeFileOf(token: SessionToken): void {
    const failure = token.removeFile()
    if (failure !== undefined) this.#warn(failure)
  }

  // -- The trial -----------------------------------------------------------------------------------------------------------

  /** Until it is taken, refused for too long, or not the latest any more. */
  async #prove({ token, ending: { signal } }: Candidate, tryToken: TokenTrial): Promise<void> {
    const givenUpAt = performance.now() + REFUSED_LIMIT_MS
    for (let waitMs = FIRST_RETRY_MS; !signal.aborted; waitMs = Math.min(2 * waitMs, LONGEST_RETRY_MS)) {
      const failure = await tryToken(token, signal)
      if (signal.aborted) return
      if (failure === undefined) return this.#adopt(token)
      const message = `a new session token is not used yet: ${failure.message}`
      this.#warn(new UpstreamProxyError('token-not-renewed', message, { side: failure.side }))
      if (failure.code === 'gateway-token-refused' && performance.now() >= givenUpAt) return this.#dropCandidate()
      await passed(waitMs, undefined, { signal, ref: false }).catch(() => {})
    }
  }

  #adopt(token: SessionToken): void {
    this.#token.wipe()
    this.#token = token
    this.#candidate = undefined
    this.#generation++
    this.#inputs.logger.info('the gateway has taken a new session token, and it is used from now on')
  }

  #dropCandidate(): void {
    this.#candidate?.ending.abort()
    this.#candidate?.token.wipe()
    this.#candidate = undefined
  }

  #warn(error: UpstreamProxyError): void {
    const now = performance.now()
    const last = this.#warnedAt.get(error.code)
    if (last !== undefined && now - last < WARNING_INTERVAL_MS) return
    this.#warnedAt.set(error.code, now)
    this.#inputs.logger.warn(error)
  }
}

/** What tells a file from another one, and from itself before a change; undefined where nothing has been written. */
function describe(stats: BigIntStats | undefined): string | undefined {
  if (stats === undefined || (stats.isFile() && stats.size === 0n)) return undefined
  const { dev, ino, size, mtimeNs, ctimeNs } = stats
  return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`
}
