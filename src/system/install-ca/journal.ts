// What was changed, and what had been there: written before each change, so that whatever interrupts the program, all of it
// can be taken back. The journal lies in the root that it speaks of, and is gone when nothing is left to undo.

import { mkdirSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { UpstreamProxyError } from '../../errors.js'
import { readForeignFile } from '../../foreign-file.js'
import {
  type Blobs,
  hashOf,
  isSameTime,
  type PathState,
  readPathState,
  removePath,
  replaceFile,
  restoreTime,
  temporaryBeside,
} from './path-state.js'
import type { TargetRoot } from './target-root.js'

/** What is made to trust the CA. */
export const STORES = ['system', 'java', 'chromium', 'firefox'] as const
export type StoreName = (typeof STORES)[number]

/** Where the journal lies in its root. */
export const JOURNAL_DIRECTORY = '/var/lib/ccr-upstream-proxy'
const JOURNAL_FILE = `${JOURNAL_DIRECTORY}/install-ca.json`
const FORMAT = 1
/** It holds what was there before, in Base64: as much as the trees of two stores may have. */
const MAX_JOURNAL_BYTES = 256 * 1_048_576

/** The time of the folder that a change was made in. Without `after` the change was not finished. */
export interface FolderTime {
  readonly before: string
  after?: string
}

/** How to take our part out of a file that somebody else has changed since. */
export type Withdrawal =
  | { readonly kind: 'json-list'; readonly keys: readonly string[]; readonly values: readonly string[] }
  | { readonly kind: 'keystore'; readonly aliases: readonly string[] }

/** A file that was written. */
export interface FileRecord {
  readonly kind: 'file'
  readonly store: StoreName
  readonly path: string
  readonly before: PathState
  readonly after: PathState
  readonly folder: FolderTime
  readonly withdrawal?: Withdrawal
}

/** A folder that was made. */
export interface DirectoryRecord {
  readonly kind: 'directory'
  readonly store: StoreName
  readonly path: string
  readonly folder: FolderTime
}

/** The paths of a tree, and what lies there. */
export type Tree = Readonly<Record<string, PathState>>

/** What an update command generated. Without `after` the command was not finished. */
export interface GeneratedRecord {
  readonly kind: 'generated'
  readonly store: StoreName
  readonly command: readonly string[]
  /** The trees that it writes to. */
  readonly paths: readonly string[]
  /** Hash of what it reads, but for what was put there for it. */
  readonly inputs: string
  before: Tree
  after?: Tree
}

export type JournalRecord = FileRecord | DirectoryRecord | GeneratedRecord

interface JournalContent {
  readonly format: number
  /** SHA-256 of each certificate, hexadecimal. */
  readonly certificates: readonly string[]
  /** Folders that were made for the journal itself. */
  readonly directories: readonly { readonly path: string; readonly folderBefore: string; folderAfter: string }[]
  readonly records: JournalRecord[]
  /** Bytes of files, base64, by their SHA-256. */
  readonly blobs: Readonly<Record<string, string>>
}

export class Journal implements Blobs {
  readonly #root: TargetRoot
  readonly #content: JournalContent
  readonly #blobs = new Map<string, Buffer>()

  private constructor(root: TargetRoot, content: JournalContent) {
    this.#root = root
    this.#content = content
    for (const [hash, text] of Object.entries(content.blobs)) this.#blobs.set(hash, Buffer.from(text, 'base64'))
  }

  /**
   * The journal of a root; undefined when nothing is installed there.
   * @throws {UpstreamProxyError} `journal-invalid`
   */
  static open(root: TargetRoot): Journal | undefined {
    const path = root.at(JOURNAL_FILE)
    const file = readForeignFile(path, { maxBytes: MAX_JOURNAL_BYTES, mayBeLink: false })
    if (file.problem === 'missing') return undefined
    if (file.problem !== undefined) throw new UpstreamProxyError('journal-invalid', `${path} ${file.why}`)
    const content = parseContent(file.bytes.toString('utf8'))
    if (content !== undefined) return new Journal(root, content)
    throw new UpstreamProxyError('journal-invalid', `${path} is no journal of this version`)
  }

  /** A new journal; nothing is written before the first save. */
  static create(root: TargetRoot, certificates: readonly string[]): Journal {
    return new Journal(root, { format: FORMAT, certificates, directories: [], records: [], blobs: {} })
  }

  get certificates(): readonly string[] {
    return this.#content.certificates
  }

  get records(): readonly JournalRecord[] {
    return this.#content.records
  }

  /** Whether every change that was begun was finished. */
  get isFinished(): boolean {
    return this.records.every((record) => record.kind !== 'generated' || record.after !== undefined)
  }

  add(record: JournalRecord): void {
    this.#content.records.push(record)
    this.save()
  }

  drop(record: JournalRecord): void {
    this.#content.records.splice(this.#content.records.indexOf(record), 1)
  }

  put(bytes: Buffer): void {
    this.#blobs.set(hashOf(bytes), bytes)
  }

  get(sha256: string): Buffer {
    const bytes = this.#blobs.get(sha256)
    if (bytes !== undefined && hashOf(bytes) === sha256) return bytes
    throw new UpstreamProxyError('journal-invalid', `${this.#root.at(JOURNAL_FILE)} lacks the bytes of a file`)
  }

  /** Makes the folder of the journal. Before anything is looked at that is to be as it was: folders change with it. */
  prepare(): void {
    this.#makeDirectory(this.#root.resolve(JOURNAL_DIRECTORY))
  }

  /** Writes the journal, for its owner alone: it may hold what others may not read. */
  save(): void {
    this.prepare()
    const hashes = new Set(this.records.flatMap(hashesOf))
    const blobs = Object.fromEntries(
      [...this.#blobs].filter(([hash]) => hashes.has(hash)).map(([hash, bytes]) => [hash, bytes.toString('base64')]),
    )
    const owner = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }
    const text = `${JSON.stringify({ ...this.#content, blobs })}\n`
    replaceFile(this.#root.at(JOURNAL_FILE), Buffer.from(text), { mode: 0o600, ...owner })
  }

  /** Removes the journal, and the folders that were made for it. */
  remove(): void {
    const path = this.#root.at(JOURNAL_FILE)
    rmSync(temporaryBeside(path), { force: true })
    rmSync(path, { force: true })
    for (const { path, folderBefore, folderAfter } of [...this.#content.directories].reverse()) {
      const folder = this.#root.at(dirname(path))
      const isUntouched = isSameTime(mtimeOf(folder), folderAfter)
      removePath(this.#root.at(path))
      if (isUntouched) restoreTime(folder, folderBefore)
    }
  }

  #makeDirectory(path: string): void {
    if (this.#root.has(path)) return
    const parent = dirname(path)
    this.#makeDirectory(parent)
    const folder = this.#root.at(parent)
    const folderBefore = mtimeOf(folder)
    makeDirectory(this.#root.at(path))
    const directories = this.#content.directories as { path: string; folderBefore: string; folderAfter: string }[]
    directories.push({ path, folderBefore, folderAfter: mtimeOf(folder) })
  }
}

/** Makes one folder that everybody may enter; the umask has no say. */
export function makeDirectory(path: string): void {
  const umask = process.umask(0)
  try {
    mkdirSync(path, { mode: 0o755 })
  } finally {
    process.umask(umask)
  }
}

/** The time of a path that exists. */
export function mtimeOf(path: string): string {
  const state = readPathState(path)
  return state.type === 'absent' ? '0' : state.mtimeNs
}

function hashesOf(record: JournalRecord): readonly string[] {
  if (record.kind === 'directory') return []
  const states = record.kind === 'file' ? [record.before] : Object.values(record.before)
  return states.flatMap((state) => (state.type === 'file' ? [state.sha256] : []))
}

function parseContent(text: string): JournalContent | undefined {
  try {
    const content = JSON.parse(text) as JournalContent
    const isComplete =
      content.format === FORMAT &&
      [content.certificates, content.directories, content.records].every(Array.isArray) &&
      typeof content.blobs === 'object'
    return isComplete ? content : undefined
  } catch {
    return undefined
  }
}
