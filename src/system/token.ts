// The session token: read once from its file, kept in memory outside the JavaScript heap where the addon is there, lent
// out for the length of one call, and never printable.

import { lstatSync } from 'node:fs'
import { inspect } from 'node:util'
import type { Addon, FileFacts, TokenFileHandle, TokenFileRefusal } from '../addon.js'
import { errnoName, UpstreamProxyError } from '../errors.js'
import type { Logger } from '../log.js'
import { openTokenFileWithoutAddon } from './token-file.js'

/** Tokens are JWTs or shorter; 16 KiB is what the gateway's HTTP head would take at most. */
const MAX_TOKEN_BYTES = 16_384

const GROUP_OR_OTHER_WRITE = 0o022
const GROUP_READ = 0o040
const OTHER_READ = 0o004

/** Holds the token of one session. */
export class SessionToken {
  readonly #handle: TokenFileHandle
  readonly #path: string

  constructor(handle: TokenFileHandle, path: string) {
    this.#handle = handle
    this.#path = path
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

  /** Empties and unlinks the file if it is still the one that was read; `token-not-unlinked` where it is still there. */
  removeFile(): UpstreamProxyError | undefined {
    const result = this.#handle.unlink()
    const code = errnoName(-result)
    if (result === 0 || code === 'ENOENT') return undefined
    const what =
      code === 'ESTALE'
        ? 'could not be removed: another file has taken its place'
        : `${isEmpty(this.#path) ? 'was emptied, but could' : 'could'} not be removed (${code})`
    return new UpstreamProxyError('token-not-unlinked', `${this.#path} ${what}`)
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
 * @throws {UpstreamProxyError} `token-missing`, `token-unreadable`, `token-unsafe` or another `token-` code of errors.ts
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
  const readers = readersOf(opened)
  if (readers !== undefined) logger.warn(new UpstreamProxyError('token-exposed', `${path} can be read by ${readers}`))
  return new SessionToken(opened, path)
}

/** Whether a path names an empty file. */
function isEmpty(path: string): boolean {
  try {
    return lstatSync(path).size === 0
  } catch {
    return false
  }
}

/** Besides its owner. */
function readersOf({ mode }: FileFacts): string | undefined {
  if ((mode & OTHER_READ) !== 0) return 'every user'
  return (mode & GROUP_READ) === 0 ? undefined : 'its group'
}

function whyUnsafe({ uid, mode, nlink }: FileFacts): string | undefined {
  const us = process.geteuid?.() ?? 0
  if (uid !== us && uid !== 0) return `belongs to user ${uid}`
  if ((mode & GROUP_OR_OTHER_WRITE) !== 0) return 'can be written by other users'
  if (nlink !== 1) return `has ${nlink} links`
  return undefined
}

function refusalError(path: string, { problem, errno }: TokenFileRefusal): UpstreamProxyError {
  switch (problem) {
    case 'open':
      return openError(path, errnoName(-errno))
    case 'not-regular':
      return new UpstreamProxyError('token-unsafe', `${path} is not a regular file`)
    case 'empty':
      return new UpstreamProxyError('token-empty', `${path} is empty`)
    case 'too-large':
      return new UpstreamProxyError('token-malformed', `${path} is longer than ${MAX_TOKEN_BYTES} bytes`)
    case 'charset':
      return new UpstreamProxyError('token-malformed', `${path} holds a byte that no token has`)
    case 'read':
    case 'memory':
      return new UpstreamProxyError('token-unreadable', `${path} cannot be read (${errnoName(-errno)})`)
  }
}

/** @param code of open(2), or of the statx(2) behind it */
function openError(path: string, code: string): UpstreamProxyError {
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new UpstreamProxyError('token-missing', `${path} does not exist`)
    case 'ELOOP':
      return new UpstreamProxyError('token-linked', `${path} is a symbolic link`)
    case 'EPERM':
    case 'ENOSYS':
      // No file system says so of a file that is only read.
      return new UpstreamProxyError('token-call-denied', `${path} cannot be opened or examined (${code})`)
    default:
      return new UpstreamProxyError('token-unreadable', `${path} cannot be opened (${code})`)
  }
}
