// The public keys of an issuer, as a JSON Web Key Set (RFC 7517) in a file or at a URL.
//
// Rules:
// - A URL is asked when a token names a key that is not known, and when what is known is old. All tokens that come
//   meanwhile wait for the same answer.
// - Anybody can send such a token. So the answer is bounded in time and size, the wait in number, and after a failure
//   the issuer is left alone for a moment.

import { statSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { withDeadline } from 'ccr-upstream-proxy/deadline'
import { readForeignFile } from 'ccr-upstream-proxy/foreign-file'
import { createLocalJWKSet, createRemoteJWKSet, customFetch, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose'

/** Where the keys are. */
export type KeySetSource = { readonly url: URL } | { readonly file: string }

/** Finds the key that a token names, and fetches it if it has to. */
export type KeySet = JWTVerifyGetKey

/** Connecting, TLS and the answer; the client of the tunnel waits for it. */
const FETCH_TIMEOUT_MS = 5_000
/** An unknown key id asks for the set again, but not more often. */
const COOLDOWN_MS = 30_000
/** The set is asked for again after this: how long a key that the issuer withdrew is still taken. */
const MAX_AGE_MS = 600_000
/** Between a fetch that failed and the next one. */
const PAUSE_AFTER_FAILURE_MS = 1_000
/** Some thousand keys: no issuer has as many. */
const MAX_KEY_SET_BYTES = 1_048_576
/** Each is an upgrade that holds its connection; more than come at once when a large fleet starts. */
const MAX_WAITING = 1_000

export function createKeySet(source: KeySetSource): KeySet {
  return 'file' in source ? createFileKeySet(source.file) : createRemoteKeySet(source.url)
}

function createRemoteKeySet(url: URL): KeySet {
  const keys = createRemoteJWKSet(url, {
    cooldownDuration: COOLDOWN_MS,
    cacheMaxAge: MAX_AGE_MS,
    [customFetch]: fetchGently(),
  })
  let waiting = 0
  return async (header, token) => {
    if (waiting >= MAX_WAITING) throw new Error('too many tokens wait for the key set')
    waiting++
    try {
      return await keys(header, token)
    } finally {
      waiting--
    }
  }
}

/** `fetch`, but whole, bounded, and not again at once when it failed. */
function fetchGently(): typeof fetch {
  let notBefore = 0
  return async (url, options) => {
    try {
      return await withDeadline(FETCH_TIMEOUT_MS, lateError, async (signal) => {
        const pauseMs = notBefore - performance.now()
        if (pauseMs > 0) await delay(pauseMs, undefined, { signal })
        // Not by jose's own signal: that one counts the time of a stopped process.
        const response = await fetch(url, { ...options, signal })
        return new Response(await readBounded(response), { status: response.status })
      })
    } catch (error) {
      notBefore = performance.now() + PAUSE_AFTER_FAILURE_MS
      throw error
    }
  }
}

function lateError(): Error {
  return new Error('the key set did not come in time')
}

async function readBounded({ body, status }: Response): Promise<Buffer> {
  if (status !== 200) {
    await body?.cancel()
    throw new Error('the key set was not answered with 200')
  }
  const pieces: Uint8Array[] = []
  let bytes = 0
  for await (const piece of body ?? []) {
    bytes += piece.length
    if (bytes > MAX_KEY_SET_BYTES) throw new Error('the key set is too large')
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}

/** Read again when the file is another one; the last good set stays otherwise. */
function createFileKeySet(file: string): KeySet {
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
  const found = readForeignFile(file, { maxBytes: MAX_KEY_SET_BYTES })
  if (found.problem !== undefined) return undefined
  try {
    return createLocalJWKSet(parseKeySet(found.bytes.toString('utf8')))
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
