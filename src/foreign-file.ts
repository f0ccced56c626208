/**
 * Reads files that are not ours: somebody else has named the path, or can put anything there. It may lead to a pipe, a device or
 * a file without an end by now; none of them makes the program wait or takes its memory. Files of this package do not come here, nor
 * does the session token, which has rules of its own. A gateway built on this package reads what it is configured with by it too.
 * @module ccr-upstream-proxy/foreign-file
 */

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { systemCode } from './errors.js'

/** What a file has to be. */
export interface FileRules {
  /** What is longer is not read. */
  readonly maxBytes: number
  /** False: the last part of the path is no symbolic link. It may be one unless given. */
  readonly mayBeLink?: boolean
  /** User that owns it and that alone may write it; anybody unless given. */
  readonly owner?: number | undefined
}

/** A file as it was found. */
export interface ForeignFile {
  /** A refusal has one. */
  readonly problem?: undefined
  /** All of it; none for /dev/null. */
  readonly bytes: Buffer
  /** Permission bits. */
  readonly mode: number
}

/** Why there are no bytes. */
export interface FileRefusal {
  /** `foreign`: of another owner than asked for, or one that others can write. */
  readonly problem: 'missing' | 'unreadable' | 'folder' | 'not-regular' | 'too-large' | 'foreign'
  /** The end of a sentence that begins with the path. */
  readonly why: string
}

/** What is read at once. */
const PIECE_BYTES = 65_536

/** null(4) by its numbers, major 1 and minor 3: who names it means an empty file. */
const NULL_DEVICE = 0x103

const { O_RDONLY, O_NONBLOCK, O_NOCTTY, O_NOFOLLOW } = constants

/** The bytes of a regular file, or why there are none. Never throws, and waits for nothing but the disk. */
export function readForeignFile(path: string, rules: FileRules): ForeignFile | FileRefusal {
  let descriptor: number | undefined
  try {
    // A pipe without a writer keeps open(2) waiting, and one without data read(2), but for O_NONBLOCK.
    const link = rules.mayBeLink === false ? O_NOFOLLOW : 0
    descriptor = openSync(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | link)
    return readOpened(descriptor, rules)
  } catch (error) {
    return refusalOf(systemCode(error))
  } finally {
    if (descriptor !== undefined) closeSync(descriptor)
  }
}

function readOpened(descriptor: number, { maxBytes, owner }: FileRules): ForeignFile | FileRefusal {
  const stats = fstatSync(descriptor)
  if (stats.isCharacterDevice() && stats.rdev === NULL_DEVICE) return { bytes: Buffer.alloc(0), mode: 0o666 }
  if (stats.isDirectory()) return { problem: 'folder', why: 'is a folder, and no file' }
  if (!stats.isFile())
    return { problem: 'not-regular', why: `is a ${stats.isFIFO() ? 'pipe' : 'device'}, and no regular file` }
  if (owner !== undefined && stats.uid !== owner) return { problem: 'foreign', why: `belongs to user ${stats.uid}` }
  if (owner !== undefined && (stats.mode & 0o022) !== 0)
    return { problem: 'foreign', why: 'can be written by other users' }
  const bytes = stats.size > maxBytes ? undefined : readAtMost(descriptor, maxBytes)
  if (bytes === undefined) return { problem: 'too-large', why: `is longer than ${maxBytes} bytes` }
  return { bytes, mode: stats.mode & 0o7777 }
}

/** Undefined when there is more: the size that stat(2) says is 0 for files of /proc, and grows where somebody writes. */
function readAtMost(descriptor: number, maxBytes: number): Buffer | undefined {
  const pieces: Buffer[] = []
  let length = 0
  for (;;) {
    const piece = Buffer.allocUnsafe(PIECE_BYTES)
    const count = readSync(descriptor, piece, 0, PIECE_BYTES, null)
    if (count === 0) return Buffer.concat(pieces, length)
    length += count
    if (length > maxBytes) return undefined
    pieces.push(piece.subarray(0, count))
  }
}

function refusalOf(code: string): FileRefusal {
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return { problem: 'missing', why: 'does not exist' }
    // open(2) of a socket, and of a device without a driver.
    case 'ENXIO':
      return { problem: 'not-regular', why: 'is a socket or a device, and no regular file' }
    case 'ELOOP':
      return { problem: 'not-regular', why: 'is a symbolic link, or one of too many' }
    default:
      return { problem: 'unreadable', why: `cannot be read (${code})` }
  }
}
