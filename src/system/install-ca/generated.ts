// What a distribution's update command generates: photographed before and after, so that it can be put back without the
// command, and generated anew where somebody else's certificates have come in since.

import { type Dirent, lstatSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { UpstreamProxyError } from '../../errors.js'
import type { Undone } from './changes.js'
import { type GeneratedRecord, JOURNAL_DIRECTORY, type Journal, type StoreName, type Tree } from './journal.js'
import {
  ABSENT,
  type Blobs,
  hashOf,
  isSameContent,
  isSameState,
  isSameTime,
  type PathState,
  readPathState,
  removePath,
  restorePath,
  restoreTime,
} from './path-state.js'
import type { TargetRoot } from './target-root.js'

/** Fedora's trees, the largest, have some 900 entries and 3 MiB. More is no certificate store, but a wrong path. */
const MAX_ENTRIES = 20_000
const MAX_BYTES = 64 * 1024 * 1024

/** What an update command reads and writes, as paths of the root. */
export interface UpdateCommand {
  /** The program and its arguments. */
  readonly command: readonly string[]
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
    restoreTree(root, before, now, undefined, journal)
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
 * Generates anew, and gives what came out as before its time and owner back.
 * @throws {UpstreamProxyError} `store-changed` when the command cannot be run, `store-update-failed`
 */
export function regenerate(root: TargetRoot, journal: Journal, record: GeneratedRecord): Undone {
  const obstacle = obstacleOf(root, record.command)
  if (obstacle !== undefined) {
    const command = record.command.join(' ')
    throw new UpstreamProxyError('store-changed', `${command} was run since, and cannot be run now: ${obstacle}`)
  }
  const failure = runCommand(root, record.command)
  if (failure !== undefined) throw failure
  for (const [path, state] of Object.entries(record.before)) {
    const now = readPathState(root.at(path))
    if (state.type !== 'absent' && state.type !== 'directory' && isSameContent(now, state)) {
      restorePath(root.at(path), state, journal)
    }
  }
  return 'theirs-kept'
}

/** Makes `touched` be `before` again; a folder's time only where it is that of `after`, or where that is not known. */
function restoreTree(root: TargetRoot, before: Tree, touched: Tree, after: Tree | undefined, blobs: Blobs): void {
  const paths = pathsOf(before, touched).sort()
  const isOurTime = (path: string): boolean => {
    const [was, now] = [after?.[path], touched[path]]
    if (after === undefined || was === undefined || now === undefined) return true
    return was.type === 'absent' || now.type === 'absent' || isSameTime(was.mtimeNs, now.mtimeNs)
  }
  const times = paths.filter((path) => before[path]?.type === 'directory' && isOurTime(path))
  for (const path of [...paths].reverse()) if ((before[path] ?? ABSENT).type === 'absent') removePath(root.at(path))
  for (const path of paths) {
    const state = before[path] ?? ABSENT
    if (state.type !== 'absent' && !isSamePhotograph(state, touched[path])) restorePath(root.at(path), state, blobs)
  }
  for (const path of times.reverse()) {
    const state = before[path]
    if (state?.type === 'directory') restoreTime(root.at(path), state.mtimeNs)
  }
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
      lines.push(`${path} ${hashOf(readFileSync(root.at(target)))}`)
    }
  }
  for (const path of inputs) take(path)
  return hashOf(Buffer.from(lines.join('\n')))
}
