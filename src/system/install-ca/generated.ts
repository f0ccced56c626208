// What a distribution's update command generates: photographed before and after, so that it can be put back without the
// command, and generated anew where somebody else's certificates have come in since.

import { type Dirent, lstatSync, readdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { UpstreamProxyError } from '../../errors.js'
import { type GeneratedRecord, JOURNAL_DIRECTORY, type Journal, type StoreName, type Tree } from './journal.js'
import { Keystore } from './keystore.js'
import {
  ABSENT,
  type Blobs,
  hashOf,
  isSameContent,
  isSameState,
  isSameTime,
  type PathState,
  readPathState,
  readStoreFile,
  removePath,
  replaceFile,
  restorePath,
  restoreTime,
} from './path-state.js'
import type { TargetRoot } from './target-root.js'

/** Fedora's trees, the largest, have some 900 entries and 3 MiB. More is no certificate store, but a wrong path. */
const MAX_ENTRIES = 20_000
const MAX_BYTES = 64 * 1024 * 1024
/** What distributions call the keystore that their JDKs share. */
const KEYSTORE_NAMES: readonly string[] = ['cacerts', 'java-cacerts']

/** What an update command reads and writes, as paths of the root. */
export interface UpdateCommand {
  /** The program and its arguments. */
  readonly command: readonly string[]
  /** The same, for making everything anew when an anchor has gone. */
  readonly cleanCommand: readonly string[]
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
}

/** Why the command cannot be run in the root; undefined when it can. */
export function obstacleOf(root: TargetRoot, [program = '']: readonly string[]): string | undefined {
  return root.findProgram(program) === undefined ? `${program} is not there` : root.obstacle
}

/**
 * Runs the command, with what it changes in the journal.
 * @throws {UpstreamProxyError} `store-update-failed`
 */
export function runRecorded(
  root: TargetRoot,
  journal: Journal,
  store: StoreName,
  { command, inputs, outputs }: UpdateCommand,
  ours: readonly string[],
): void {
  journal.prepare()
  const record: GeneratedRecord = {
    kind: 'generated',
    store,
    command,
    paths: outputs,
    inputs: hashOfInputs(root, inputs, ours),
    before: photograph(root, outputs, journal),
  }
  journal.add(record)
  const failure = runCommand(root, command)
  finish(record, photograph(root, outputs))
  journal.save()
  if (failure !== undefined) throw failure
}

function runCommand(root: TargetRoot, command: readonly string[]): UpstreamProxyError | undefined {
  const [name = '', ...args] = command
  const program = root.findProgram(name)
  const { ok, output } = root.run(program ?? name, args, JOURNAL_DIRECTORY)
  if (ok) return undefined
  const reason = output.split('\n').at(-1) || 'it said nothing'
  return new UpstreamProxyError('store-update-failed', `${command.join(' ')} failed: ${reason}`)
}

/** Keeps of the two photographs what differs. */
function finish(record: GeneratedRecord, now: Tree): void {
  const { before } = record
  const changed = pathsOf(before, now).filter((path) => !isSamePhotograph(before[path], now[path]))
  record.before = Object.fromEntries(changed.map((path) => [path, before[path] ?? ABSENT]))
  record.after = Object.fromEntries(changed.map((path) => [path, now[path] ?? ABSENT]))
}

function isSamePhotograph(a: PathState = ABSENT, b: PathState = ABSENT): boolean {
  if (!isSameState(a, b)) return false
  return a.type === 'absent' || b.type === 'absent' || isSameTime(a.mtimeNs, b.mtimeNs)
}

/**
 * Puts everything back that the command changed, when nobody has changed it since; false when somebody has, and nothing was
 * done.
 */
export function undoGenerated(
  root: TargetRoot,
  journal: Journal,
  record: GeneratedRecord,
  { inputs }: Pick<UpdateCommand, 'inputs'>,
  ours: readonly string[],
): boolean {
  const now = photograph(root, record.paths)
  const { before, after } = record
  if (after === undefined) {
    if (hashOfInputs(root, inputs, ours) !== record.inputs) return false
    restoreTree(root, before, { ...absentOf(before), ...now }, undefined, journal)
    return true
  }
  const isOurs = Object.entries(after).every(([path, state]) => isSameState(now[path] ?? ABSENT, state))
  // A command that was interrupted while undoing leaves some paths as they were before.
  const isHalfway = Object.entries(after).every(
    ([path, state]) =>
      isSameState(now[path] ?? ABSENT, state) || isSameState(now[path] ?? ABSENT, before[path] ?? ABSENT),
  )
  if (!isOurs && !isHalfway) return false
  const touched = Object.fromEntries(Object.keys(after).map((path) => [path, now[path] ?? ABSENT]))
  restoreTree(root, before, touched, after, journal)
  return true
}

/**
 * Takes back what nobody else has changed, and has the rest generated anew, without what is no anchor any more.
 * @param hashes SHA-256 of the certificates that are to be gone
 * @throws {UpstreamProxyError} `store-changed` when the command cannot be run, `store-update-failed`
 */
export function regenerate(
  root: TargetRoot,
  journal: Journal,
  { paths, before, after = {} }: GeneratedRecord,
  command: readonly string[],
  hashes: readonly string[],
): void {
  const obstacle = obstacleOf(root, command)
  if (obstacle !== undefined) {
    const what = `what ${command[0]} made was changed since`
    throw new UpstreamProxyError('store-changed', `${what}, and the command cannot be run now: ${obstacle}`)
  }
  const now = photograph(root, paths)
  const ours = Object.keys(after).filter((path) => isSameState(now[path] ?? ABSENT, after[path] ?? ABSENT))
  restoreTree(root, before, Object.fromEntries(ours.map((path) => [path, now[path] ?? ABSENT])), after, journal)
  const failure = runCommand(root, command)
  if (failure !== undefined) throw failure
  removeFromKeystores(root, paths, hashes)
  for (const [path, state] of Object.entries(before)) {
    const now = readPathState(root.at(path))
    if ((state.type === 'file' || state.type === 'link') && isSameContent(now, state)) {
      restorePath(root.at(path), state, journal)
    }
  }
}

/** Hooks put new anchors into Java's keystore, and never take them out again (Debian's jks-keystore). */
function removeFromKeystores(root: TargetRoot, paths: readonly string[], hashes: readonly string[]): void {
  const found = Object.entries(photograph(root, paths)).filter(([path]) => KEYSTORE_NAMES.includes(basename(path)))
  for (const [path, state] of found) {
    if (state.type !== 'file') continue
    const bytes = new Keystore(root, path).withoutCertificates(hashes)
    if (bytes !== undefined) replaceFile(root.at(path), bytes, state)
  }
}

/** Makes what is `touched` be `before` again; a folder's time only where it is that of `after`, or where that is not known. */
function restoreTree(root: TargetRoot, before: Tree, touched: Tree, after: Tree | undefined, blobs: Blobs): void {
  const paths = Object.keys(touched).sort()
  const times = folderTimes(root, before, touched, after)
  for (const path of [...paths].reverse()) if ((before[path] ?? ABSENT).type === 'absent') removePath(root.at(path))
  for (const path of paths) {
    const state = before[path] ?? ABSENT
    if (state.type !== 'absent' && !isSamePhotograph(state, touched[path])) restorePath(root.at(path), state, blobs)
  }
  for (const [path, time] of times) if (root.isDirectory(path)) restoreTime(root.at(path), time)
}

/** The time that each folder has in the end, the deepest first: its old one, or where others have changed it, what it has. */
function folderTimes(
  root: TargetRoot,
  before: Tree,
  touched: Tree,
  after: Tree | undefined,
): readonly (readonly [path: string, time: string])[] {
  const folders = new Set([...Object.keys(touched).map(dirname), ...Object.keys(touched)])
  return [...folders]
    .sort()
    .reverse()
    .flatMap((path) => {
      const now = readPathState(root.at(path))
      if (now.type !== 'directory') return []
      const [old, left] = [before[path], after?.[path]]
      const isOurs = after === undefined || (left?.type === 'directory' && isSameTime(now.mtimeNs, left.mtimeNs))
      return [[path, old?.type === 'directory' && isOurs ? old.mtimeNs : now.mtimeNs] as const]
    })
}

function absentOf(tree: Tree): Tree {
  return Object.fromEntries(Object.keys(tree).map((path) => [path, ABSENT]))
}

function pathsOf(...trees: readonly Tree[]): string[] {
  return [...new Set(trees.flatMap((tree) => Object.keys(tree)))]
}

/** Every path of the trees, links in the way followed, links at the end not; and the folders that they lie in. */
function photograph(root: TargetRoot, paths: readonly string[], blobs?: Blobs): Tree {
  const tree: Record<string, PathState> = {}
  let bytes = 0
  const take = (path: string): void => {
    if (path in tree && tree[path]?.type !== 'directory') return
    const stats = lstatSync(root.at(path), { throwIfNoEntry: false })
    bytes += stats?.isFile() ? stats.size : 0
    if (bytes > MAX_BYTES || Object.keys(tree).length >= MAX_ENTRIES) {
      throw new UpstreamProxyError(
        'store-unwritable',
        `${root.at(path)} lies in a tree too large for a certificate store`,
      )
    }
    tree[path] = readPathState(root.at(path), blobs)
    if (tree[path].type === 'directory') for (const { name } of entriesOf(root, path)) take(join(path, name))
  }
  for (const path of paths) {
    const target = root.resolve(path)
    tree[dirname(target)] ??= readPathState(root.at(dirname(target)))
    take(target)
  }
  return tree
}

function entriesOf(root: TargetRoot, path: string): Dirent[] {
  return readdirSync(root.at(path), { withFileTypes: true })
}

/** Hash of the names and bytes of the inputs, folders with all that is in them; `ours` are passed over. */
function hashOfInputs(root: TargetRoot, inputs: readonly string[], ours: readonly string[]): string {
  const lines: string[] = []
  const take = (path: string): void => {
    const target = root.resolve(path)
    if (ours.includes(target) || !root.has(target)) return
    if (root.isDirectory(target)) {
      for (const { name } of entriesOf(root, target).sort((a, b) => (a.name < b.name ? -1 : 1)))
        take(join(target, name))
    } else if (lstatSync(root.at(target)).isFile()) {
      lines.push(`${path} ${hashOf(readStoreFile(root.at(target)))}`)
    }
  }
  for (const path of inputs) take(path)
  return hashOf(Buffer.from(lines.join('\n')))
}
