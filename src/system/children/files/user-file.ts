// A configuration file of the user's, read so that a file of ours can stand in its place. Whatever is wrong with it, it is
// as if it were not there.

import { readForeignFile } from '../../../foreign-file.js'

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
  const file = readForeignFile(path, { maxBytes: MAX_BYTES })
  if (file.problem !== undefined) return undefined
  return { text: file.bytes.toString('utf8'), isPublic: (file.mode & 0o004) !== 0 }
}
