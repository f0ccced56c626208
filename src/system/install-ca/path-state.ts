// What lies at a path, down to what makes two trees equal: bytes, mode, owner, link target and times; and how to put it
// back. The bytes themselves are kept by whoever asks, under their hash.

import { createHash } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  lchownSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { systemCode, UpstreamProxyError } from '../../errors.js'
import { readForeignFile } from '../../foreign-file.js'

interface Ownership {
  readonly uid: number
  readonly gid: number
  /** Modification time in nanoseconds since 1970, decimal: more than a number can hold. */
  readonly mtimeNs: string
}

/** What lies at a path. */
export type PathState =
  | { readonly type: 'absent' }
  | ({ readonly type: 'file'; readonly mode: number; readonly sha256: string } & Ownership)
  | ({ readonly type: 'link'; readonly target: string } & Ownership)
  | ({ readonly type: 'directory'; readonly mode: number } & Ownership)
  | ({ readonly type: 'other' } & Ownership)

export type FileState = Extract<PathState, { type: 'file' }>

export const ABSENT: PathState = { type: 'absent' }

/** Times are set through a double: to a fraction of a microsecond, no better. */
const TIME_TOLERANCE_NS = 10_000n

/** Where the bytes of files are kept. */
export interface Blobs {
  put(bytes: Buffer): void
  get(sha256: string): Buffer
}

export function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Of one file: as much as a store's trees may have in all. */
const MAX_FILE_BYTES = 64 * 1_048_576

/**
 * The bytes of a file of a store, wherever links lead.
 * @throws {UpstreamProxyError} `store-unwritable` when it cannot be read, or is no file
 */
export function readStoreFile(path: string): Buffer {
  const file = readForeignFile(path, { maxBytes: MAX_FILE_BYTES })
  if (file.problem === undefined) return file.bytes
  throw new UpstreamProxyError('store-unwritable', `${path} ${file.why}`)
}

/**
 * Looks at a path without following a link at its end.
 * @param blobs takes the bytes of a file; without it they are only hashed
 */
export function readPathState(path: string, blobs?: Blobs): PathState {
  const stats = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  if (stats === undefined) return ABSENT
  const ownership = { uid: Number(stats.uid), gid: Number(stats.gid), mtimeNs: `${stats.mtimeNs}` }
  const mode = Number(stats.mode) & 0o7777
  if (stats.isSymbolicLink()) return { type: 'link', target: readlinkSync(path), ...ownership }
  if (stats.isDirectory()) return { type: 'directory', mode, ...ownership }
  if (!stats.isFile()) return { type: 'other', ...ownership }
  const bytes = readStoreFile(path)
  blobs?.put(bytes)
  return { type: 'file', mode, sha256: hashOf(bytes), ...ownership }
}

/** Whether two states are the same but for the time. */
export function isSameState(a: PathState, b: PathState): boolean {
  return isSameContent(a, b) && ownerOf(a) === ownerOf(b)
}

/** Whether the bytes, or the link's target, are the same. */
export function isSameContent(a: PathState, b: PathState): boolean {
  if (a.type === 'file') return b.type === 'file' && a.sha256 === b.sha256
  if (a.type === 'link') return b.type === 'link' && a.target === b.target
  return a.type === b.type
}

function ownerOf(state: PathState): string {
  if (state.type === 'absent') return ''
  return `${state.uid}:${state.gid}:${'mode' in state ? state.mode : ''}`
}

/** Whether both times are the same as far as they can be set. */
export function isSameTime(aNs: string, bNs: string): boolean {
  const difference = BigInt(aNs) - BigInt(bNs)
  return -TIME_TOLERANCE_NS < difference && difference < TIME_TOLERANCE_NS
}

/** Puts the time back. */
export function restoreTime(path: string, mtimeNs: string): void {
  lutimesSync(path, Date.now() / 1000, Number(mtimeNs) / 1e9)
}

/**
 * Makes a path be what it was. Files come by rename, so that readers see one or the other. A directory is made, or gets its
 * mode back, and is removed only when it is empty.
 */
export function restorePath(path: string, state: PathState, blobs: Blobs): void {
  if (state.type === 'absent') removePath(path)
  else if (state.type === 'file') replaceFile(path, blobs.get(state.sha256), state)
  else if (state.type === 'link') restoreLink(path, state)
  else if (state.type === 'directory') restoreDirectory(path, state)
  if (state.type !== 'absent' && state.type !== 'other') restoreTime(path, state.mtimeNs)
}

/** Removes a file, a link or an empty directory; a directory with something in it stays. */
export function removePath(path: string): void {
  const stats = lstatSync(path, { throwIfNoEntry: false })
  if (stats?.isDirectory()) removeEmptyDirectory(path)
  else if (stats !== undefined) unlinkSync(path)
}

function removeEmptyDirectory(path: string): void {
  try {
    rmdirSync(path)
  } catch (error) {
    if (systemCode(error) !== 'ENOTEMPTY' && systemCode(error) !== 'EEXIST') throw error
  }
}

function restoreLink(path: string, { target, uid, gid }: Extract<PathState, { type: 'link' }>): void {
  const temporary = temporaryBeside(path)
  rmSync(temporary, { force: true })
  symlinkSync(target, temporary)
  const { uid: ownUid, gid: ownGid } = lstatSync(temporary)
  if (ownUid !== uid || ownGid !== gid) lchownSync(temporary, uid, gid)
  renameSync(temporary, path)
}

function restoreDirectory(path: string, { mode, uid, gid }: Extract<PathState, { type: 'directory' }>): void {
  const now = lstatSync(path, { throwIfNoEntry: false })
  if (now !== undefined && !now.isDirectory()) unlinkSync(path)
  if (now === undefined || !now.isDirectory()) mkdirSync(path)
  const { uid: ownUid, gid: ownGid } = lstatSync(path)
  if (ownUid !== uid || ownGid !== gid) lchownSync(path, uid, gid)
  chmodSync(path, mode)
}

/** Where the next bytes of a file are written; the same each time, so that what a crash left is found. */
export function temporaryBeside(path: string): string {
  return join(dirname(path), `.${basename(path)}.ccr-upstream-proxy-new`)
}

/** Writes a file that readers see whole or not at all; the umask has no say. */
export function replaceFile(
  path: string,
  bytes: Uint8Array,
  { mode, uid, gid }: Pick<FileState, 'mode' | 'uid' | 'gid'>,
): void {
  const temporary = temporaryBeside(path)
  rmSync(temporary, { force: true })
  try {
    const descriptor = openSync(temporary, 'wx', 0o600)
    try {
      writeFileSync(descriptor, bytes)
      if (uid !== process.geteuid?.() || gid !== process.getegid?.()) fchownSync(descriptor, uid, gid)
      fchmodSync(descriptor, mode)
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
}
