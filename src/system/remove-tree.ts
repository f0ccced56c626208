// Removes a folder of ours to which others had access: whatever they made of it, everything goes that can.

import { chmodSync, lstatSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { systemCode } from '../errors.js'

/** What could not be removed first, and why. */
export interface Leftover {
  readonly path: string
  /** The system's code. */
  readonly code: string
}

/** Never throws; undefined when nothing is left, whoever has removed it. Links are not followed, and what is mounted there is not entered. */
export function removeTree(path: string): Leftover | undefined {
  try {
    const stats = lstatSync(path, { throwIfNoEntry: false })
    if (stats === undefined) return undefined
    if (stats.isDirectory()) return removeFolder(path)
    unlinkSync(path)
    return undefined
  } catch (error) {
    return leftover(path, error)
  }
}

function removeFolder(path: string): Leftover | undefined {
  try {
    // First, for it fails with EBUSY where something is mounted: that is not ours to empty.
    rmdirSync(path)
    return undefined
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST'].includes(systemCode(error))) return leftover(path, error)
  }
  try {
    makeAccessible(path)
    const left = readdirSync(path).map((name) => removeTree(join(path, name)))
    const first = left.find((each) => each !== undefined)
    if (first === undefined) rmdirSync(path)
    return first
  } catch (error) {
    return leftover(path, error)
  }
}

/**
 * A child may have taken the owner's rights away, or given rights to other users, who are shut out by this before anything is
 * read. Where it cannot be done, readdir(3) says so.
 */
function makeAccessible(path: string): void {
  try {
    chmodSync(path, 0o700)
  } catch {}
}

/** Two starts may remove the same folder. */
function leftover(path: string, error: unknown): Leftover | undefined {
  const code = systemCode(error)
  return code === 'ENOENT' ? undefined : { path, code }
}
