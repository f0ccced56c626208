// A configuration file of the user's, read so that a file of ours can stand in its place. Whatever is wrong with it, it is
// as if it were not there.

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'

/** A configuration file is a page or two; what is longer is something else. */
const MAX_BYTES = 256 * 1024

/** A file as it was found. */
export interface UserFile {
  readonly text: string
  /** Whether other users may read it. */
  readonly isPublic: boolean
}

/** Reads a regular file of at most 256 KiB; undefined when there is none that can be read. */
export function readUserFile(path: string): UserFile | undefined {
  let descriptor: number | undefined
  try {
    // A FIFO without a writer would keep the open waiting.
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const stats = fstatSync(descriptor)
    if (!stats.isFile() || stats.size > MAX_BYTES) return undefined
    const bytes = Buffer.alloc(stats.size)
    const length = readSync(descriptor, bytes, 0, bytes.length, 0)
    return { text: bytes.toString('utf8', 0, length), isPublic: (stats.mode & 0o004) !== 0 }
  } catch {
    return undefined
  } finally {
    if (descriptor !== undefined) closeSync(descriptor)
  }
}
