// The session token: read once from its file, kept in memory outside the JavaScript heap where the addon is there, lent
// out for the length of one call, and never printable.

import { inspect } from 'node:util'
import type { Addon, FileFacts, TokenFileHandle, TokenFileRefusal } from '../addon.js'
import { UpstreamProxyError } from '../errors.js'
import type { Logger } from '../log.js'
import { openTokenFileWithoutAddon } from './token-file.js'

/** Tokens are JWTs or shorter; 16 KiB is what the gateway's HTTP head would take at most. */
const MAX_TOKEN_BYTES = 16_384

const GROUP_OR_OTHER_WRITE = 0o022
const GROUP_OR_OTHER_READ = 0o044

/** Holds the token of one session. */
export class SessionToken {
  readonly #handle: TokenFileHandle

  constructor(handle: TokenFileHandle) {
    this.#handle = handle
  }

  /** Lends the token's bytes to `use`; they are wiped when it returns. */
  withToken<T>(use: (token: Buffer) => T): T {
    const token = Buffer.alloc(this.#handle.length)
    try {
      if (this.#handle.copyTo(token, 0) < 0)
        throw new UpstreamProxyError('internal-error', 'the token was wiped already')
      return use(token)
    } finally {
      token.fill(0)
    }
  }

  /** Empties and unlinks the file if it is still the one that was read; the errno of what failed, or 0. */
  unlinkFile(): number {
    return -this.#handle.unlink()
  }

  /** Overwrites the memory. The token cannot be used any more. */
  wipe(): void {
    this.#handle.wipe()
  }

  toString(): string {
    return '[redacted]'
  }

  toJSON(): string {
    return '[redacted]'
  }

  [inspect.custom](): string {
    return '[redacted]'
  }
}

/**
 * Reads the token from `path` without following links and without waiting.
 * @param addon without it the token lies in the JavaScript heap
 * @throws {UpstreamProxyError} `token-missing`, `token-unreadable`, `token-unsafe` or `token-malformed`
 */
export function readSessionToken(path: string, addon: Addon | undefined, logger: Logger): SessionToken {
  const open = addon?.openTokenFile ?? openTokenFileWithoutAddon
  const opened = open(path, MAX_TOKEN_BYTES)
  if (opened.problem !== undefined) throw refusalError(path, opened)
  const unsafe = whyUnsafe(opened)
  if (unsafe !== undefined) {
    opened.wipe()
    throw new UpstreamProxyError('token-unsafe', `${path} ${unsafe}`)
  }
  if ((opened.mode & GROUP_OR_OTHER_READ) !== 0) {
    logger.warn(new UpstreamProxyError('token-exposed', `${path} can be read by other users`))
  }
  return new SessionToken(opened)
}

function whyUnsafe({ uid, mode, nlink }: FileFacts): string | undefined {
  const us = process.geteuid?.() ?? 0
  if (uid !== us && uid !== 0) return `belongs to user ${uid}`
  if ((mode & GROUP_OR_OTHER_WRITE) !== 0) return 'can be written by other users'
  if (nlink !== 1) return `has ${nlink} links`
  return undefined
}

/** Linux numbers; the addon and the fallback both report them so. */
const ENOENT = 2
const ENOTDIR = 20
const ELOOP = 40

function refusalError(path: string, { problem, errno }: TokenFileRefusal): UpstreamProxyError {
  switch (problem) {
    case 'open':
      return openError(path, -errno)
    case 'not-regular':
      return new UpstreamProxyError('token-unsafe', `${path} is not a regular file`)
    case 'empty':
      return new UpstreamProxyError('token-malformed', `${path} is empty`)
    case 'too-large':
      return new UpstreamProxyError('token-malformed', `${path} is longer than ${MAX_TOKEN_BYTES} bytes`)
    case 'charset':
      return new UpstreamProxyError('token-malformed', `${path} holds a byte that no token has`)
    case 'read':
    case 'memory':
      return new UpstreamProxyError('token-unreadable', `${path} cannot be read (errno ${-errno})`)
  }
}

function openError(path: string, errno: number): UpstreamProxyError {
  if (errno === ENOENT || errno === ENOTDIR) return new UpstreamProxyError('token-missing', `${path} does not exist`)
  if (errno === ELOOP) return new UpstreamProxyError('token-unsafe', `${path} is a symbolic link`)
  return new UpstreamProxyError('token-unreadable', `${path} cannot be opened (errno ${errno})`)
}
