// Changes to a root, each in the journal before it is made, and each taken back from there.

import { rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { UpstreamProxyError } from '../../errors.js'
import type { DirectoryRecord, FileRecord } from './journal.js'
import { type FolderTime, type Journal, makeDirectory, mtimeOf, type StoreName, type Withdrawal } from './journal.js'
import {
  type FileState,
  hashOf,
  isSameContent,
  isSameTime,
  readPathState,
  removePath,
  replaceFile,
  restorePath,
  restoreTime,
  temporaryBeside,
} from './path-state.js'
import type { TargetRoot } from './target-root.js'
import { withdraw } from './withdraw.js'

/** What became of a change that was to be undone: all as before, or somebody else's later change was kept. */
export type Undone = 'restored' | 'theirs-kept'

/** Writes a file that keeps the mode and the owner of what was there. Its folders are made. */
export function writeRecorded(
  root: TargetRoot,
  journal: Journal,
  store: StoreName,
  path: string,
  bytes: Buffer,
  withdrawal?: Withdrawal,
): void {
  const target = root.resolve(path)
  journal.prepare()
  makeFolders(root, journal, store, dirname(target))
  const file = root.at(target)
  const before = readPathState(file, journal)
  if (before.type !== 'file' && before.type !== 'absent') {
    throw new UpstreamProxyError('store-unwritable', `${file} is no regular file`)
  }
  const after: FileState = {
    type: 'file',
    sha256: hashOf(bytes),
    mode: before.type === 'file' ? before.mode : 0o644,
    uid: before.type === 'file' ? before.uid : (process.geteuid?.() ?? 0),
    gid: before.type === 'file' ? before.gid : (process.getegid?.() ?? 0),
    mtimeNs: '0',
  }
  const folder: FolderTime = { before: mtimeOf(dirname(file)) }
  journal.add({
    kind: 'file',
    store,
    path: target,
    before,
    after,
    folder,
    ...(withdrawal === undefined ? {} : { withdrawal }),
  })
  replaceFile(file, bytes, after)
  folder.after = mtimeOf(dirname(file))
  journal.save()
}

function makeFolders(root: TargetRoot, journal: Journal, store: StoreName, path: string): void {
  if (root.has(path)) return
  const parent = dirname(path)
  makeFolders(root, journal, store, parent)
  const folder: FolderTime = { before: mtimeOf(root.at(parent)) }
  journal.add({ kind: 'directory', store, path, folder })
  makeDirectory(root.at(path))
  folder.after = mtimeOf(root.at(parent))
  journal.save()
}

/** Removes a folder that was made, unless somebody has put something into it. */
export function undoDirectory(root: TargetRoot, { path, folder }: DirectoryRecord): Undone {
  const directory = root.at(path)
  const parentTime = mtimeOf(dirname(directory))
  removePath(directory)
  if (readPathState(directory).type !== 'absent') return 'theirs-kept'
  restoreFolderTime(dirname(directory), folder, parentTime)
  return 'restored'
}

/**
 * Puts back what a file was; when somebody has changed it since, only our part is taken out.
 * @throws {UpstreamProxyError} `store-changed` when that cannot be told apart
 */
export function undoFile(root: TargetRoot, journal: Journal, record: FileRecord): Undone {
  const file = root.at(record.path)
  const folderTime = mtimeOf(dirname(file))
  rmSync(temporaryBeside(file), { force: true })
  const now = readPathState(file)
  if (!isSameContent(now, record.before)) {
    if (!isSameContent(now, record.after)) return withdrawFrom(root, record)
    restorePath(file, keepingTheirMode(record, now as FileState), journal)
  }
  restoreFolderTime(dirname(file), record.folder, folderTime)
  return 'restored'
}

/** What was before, but for a mode and an owner that somebody has given the file since. */
function keepingTheirMode({ before, after }: FileRecord, { mode, uid, gid }: FileState): FileRecord['before'] {
  if (before.type !== 'file' || after.type !== 'file') return before
  return mode === after.mode && uid === after.uid && gid === after.gid ? before : { ...before, mode, uid, gid }
}

function withdrawFrom(root: TargetRoot, { path, withdrawal }: FileRecord): Undone {
  const file = root.at(path)
  const now = readPathState(file)
  // Whoever removed the file has removed our part of it, too.
  if (now.type === 'absent') return 'theirs-kept'
  if (withdrawal === undefined || now.type !== 'file') {
    throw new UpstreamProxyError('store-changed', `${file} was changed since it was installed`)
  }
  const bytes = withdraw(root, path, withdrawal)
  if (bytes === 'nothing-left') removePath(file)
  else if (bytes !== undefined) replaceFile(file, bytes, now)
  return 'theirs-kept'
}

/** A folder whose time is still that of our change gets its own back. */
function restoreFolderTime(folder: string, { before, after }: FolderTime, now: string): void {
  if (after !== undefined && isSameTime(now, after)) restoreTime(folder, before)
}
