// The token file without the addon: the same checks in the same order through node:fs, for platforms that cannot be
// hardened anyway. The token then lies in a Buffer of the JavaScript heap.

import { closeSync, constants, fstatSync, ftruncateSync, lstatSync, openSync, readSync, unlinkSync } from 'node:fs'
import { constants as osConstants } from 'node:os'
import type { FileFacts, TokenFileHandle, TokenFileRefusal } from '../addon.js'
import { systemCode } from '../errors.js'

/** As the addon's openTokenFile(). */
export function openTokenFileWithoutAddon(path: string, maxBytes: number): TokenFileHandle | TokenFileRefusal {
  let descriptor: number
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch (error) {
    return { problem: 'open', errno: negativeErrno(error) }
  }
  try {
    return readOpened(descriptor, path, maxBytes)
  } catch (error) {
    return { problem: 'read', errno: negativeErrno(error) }
  } finally {
    closeSync(descriptor)
  }
}

function readOpened(descriptor: number, path: string, maxBytes: number): TokenFileHandle | TokenFileRefusal {
  const stats = fstatSync(descriptor, { bigint: true })
  const facts: FileFacts = {
    dev: stats.dev,
    ino: stats.ino,
    mode: Number(stats.mode),
    uid: Number(stats.uid),
    nlink: Number(stats.nlink),
  }
  if (!stats.isFile()) return { ...facts, problem: 'not-regular', errno: 0 }
  const bytes = Buffer.alloc(maxBytes + 1)
  const read = readFully(descriptor, bytes)
  const length = lengthWithoutTrailingSpace(bytes.subarray(0, read))
  const problem = problemOf(bytes, read, length, maxBytes)
  if (problem === undefined) return new HeapToken(path, facts, bytes.subarray(0, length))
  bytes.fill(0)
  return { ...facts, problem, errno: 0 }
}

function readFully(descriptor: number, bytes: Buffer): number {
  let read = 0
  for (;;) {
    const more = readSync(descriptor, bytes, read, bytes.length - read, null)
    if (more === 0) return read
    read += more
  }
}

function lengthWithoutTrailingSpace(bytes: Buffer): number {
  let { length } = bytes
  while (length > 0 && ' \t\r\n'.includes(String.fromCharCode(bytes[length - 1] as number))) length--
  return length
}

function problemOf(
  bytes: Buffer,
  read: number,
  length: number,
  maxBytes: number,
): TokenFileRefusal['problem'] | undefined {
  if (read > maxBytes) return 'too-large'
  if (length === 0) return 'empty'
  return bytes.subarray(0, length).every((byte) => byte >= 0x21 && byte <= 0x7e) ? undefined : 'charset'
}

class HeapToken implements TokenFileHandle {
  readonly dev: bigint
  readonly ino: bigint
  readonly mode: number
  readonly uid: number
  readonly nlink: number
  readonly locked = false
  readonly #path: string
  #token: Buffer | undefined

  constructor(path: string, facts: FileFacts, token: Buffer) {
    this.#path = path
    this.#token = token
    this.dev = facts.dev
    this.ino = facts.ino
    this.mode = facts.mode
    this.uid = facts.uid
    this.nlink = facts.nlink
  }

  get length(): number {
    return this.#token?.length ?? 0
  }

  copyTo(target: Uint8Array, offset: number): number {
    if (this.#token === undefined) return -osConstants.errno.EBADF
    if (offset + this.#token.length > target.length) return -osConstants.errno.ERANGE
    target.set(this.#token, offset)
    return this.#token.length
  }

  wipe(): void {
    this.#token?.fill(0)
    this.#token = undefined
  }

  unlink(): number {
    try {
      const { dev, ino } = lstatSync(this.#path, { bigint: true })
      if (dev !== this.dev || ino !== this.ino) return -osConstants.errno.ESTALE
      this.#truncate()
      unlinkSync(this.#path)
      return 0
    } catch (error) {
      return negativeErrno(error)
    }
  }

  /** So that a descriptor opened earlier reads nothing; not being allowed to is no failure. */
  #truncate(): void {
    try {
      const descriptor = openSync(this.#path, constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
      const { dev, ino } = fstatSync(descriptor, { bigint: true })
      if (dev === this.dev && ino === this.ino) ftruncateSync(descriptor, 0)
      closeSync(descriptor)
    } catch {
      // unlink() has the last word.
    }
  }
}

function negativeErrno(error: unknown): number {
  const code = systemCode(error) as keyof typeof osConstants.errno
  return -(osConstants.errno[code] ?? osConstants.errno.EIO)
}
