// The folder in which one relay keeps its files. Children of other users read them, so it can be entered by all and
// written by us alone; it goes when the relay is closed, or when the process ends without closing it. Who made it removes it;
// who writes into it needs no more than its path.

import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemCode, UpstreamProxyError } from '../errors.js'
import { formatMark, markOfThisProcess, type ProcessMark, parseMark } from './process-mark.js'
import { removeTree } from './remove-tree.js'

/** What the names of these folders begin with. */
const PREFIX = 'ccr-upstream-proxy-'

/** A symbolic link in each that leads nowhere and says which process made the folder: it is there at once and as a whole. */
const OWNER = 'owner'

/** What a disk, a quota and a table of inodes say that are full. */
const NO_ROOM = ['ENOSPC', 'EDQUOT']

/** Of one user in one place; a start looks at no more. */
const MAX_FOLDERS = 1_000

/** Writes into a folder of our own that is there. */
export class Folder {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }

  /**
   * Writes a file, again where it is there already; readers see it whole or not at all. Returns its path.
   * @param mode of the file under any umask: for all to read unless given
   * @throws {UpstreamProxyError} `bundle-unwritable` or `disk-full`
   */
  writeFile(name: string, content: string | Uint8Array, mode = 0o644): string {
    const path = join(this.path, name)
    // Of one attempt alone: one that was cut short stands in no other's way. No secret, so that the import needs no cryptography.
    const temporary = `${path}.${Math.random().toString(36).slice(2)}.new`
    return attempt(path, () => {
      try {
        writeFileSync(temporary, content, { mode, flag: 'wx' })
        chmodSync(temporary, mode)
        renameSync(temporary, path)
        return path
      } catch (error) {
        removeTree(temporary)
        throw error
      }
    })
  }

  /**
   * Makes a folder that nobody else may enter; returns its path.
   * @throws {UpstreamProxyError} `bundle-unwritable` or `disk-full`
   */
  makeSecretFolder(name: string): string {
    const path = join(this.path, name)
    return attempt(path, () => {
      mkdirSync(path, { mode: 0o700 })
      return path
    })
  }

  /**
   * Writes a folder of files for all to read; returns its path.
   * @throws {UpstreamProxyError} `bundle-unwritable` or `disk-full`
   */
  writeFolder(name: string, files: Readonly<Record<string, string>>): string {
    const path = attempt(join(this.path, name), () => {
      mkdirSync(join(this.path, name), { recursive: true })
      chmodSync(join(this.path, name), 0o755)
      return join(this.path, name)
    })
    for (const [file, content] of Object.entries(files)) this.writeFile(join(name, file), content)
    return path
  }
}

/** A folder of our own under the temporary directory. */
export class PrivateDirectory extends Folder {
  /** What is left then, nobody can be told of any more. */
  readonly #onExit = (): void => void removeTree(this.path)

  /**
   * @param parent the temporary directory unless given
   * @throws {UpstreamProxyError} `bundle-unwritable` or `disk-full`
   */
  constructor(parent = tmpdir()) {
    super(makeFolder(parent))
    process.once('exit', this.#onExit)
  }

  /**
   * Removes the folder with all that is in it; any number of times.
   * @throws {UpstreamProxyError} `files-not-removed` when something is left, once everything else is gone
   */
  remove(): void {
    process.removeListener('exit', this.#onExit)
    const left = removeTree(this.path)
    if (left === undefined) return
    throw new UpstreamProxyError('files-not-removed', `${left.path} could not be removed (${left.code})`)
  }
}

function makeFolder(parent: string): string {
  return attempt(parent, () => {
    const path = mkdtempSync(join(parent, PREFIX))
    chmodSync(path, 0o755)
    signFolder(path)
    return path
  })
}

/** A folder that says of nobody whose it is, is removed by nobody but its process. */
function signFolder(path: string): void {
  const mark = markOfThisProcess()
  if (mark === undefined) return
  try {
    symlinkSync(formatMark(mark), join(path, OWNER))
  } catch {}
}

// -- Those of other processes ------------------------------------------------------------------------------------------------

/** Such folders of this user in `parent`, by their paths; no links. Never throws. */
export function ownFolders(parent: string): string[] {
  try {
    const named = readdirSync(parent).filter((name) => name.startsWith(PREFIX))
    return named
      .map((name) => join(parent, name))
      .filter(isOwnFolder)
      .slice(0, MAX_FOLDERS)
  } catch {
    return []
  }
}

/** The process that made a folder; undefined when it does not say so. */
export function readOwner(folder: string): ProcessMark | undefined {
  try {
    return parseMark(readlinkSync(join(folder, OWNER)))
  } catch {
    return undefined
  }
}

function isOwnFolder(path: string): boolean {
  const stats = lstatSync(path, { throwIfNoEntry: false })
  return stats?.isDirectory() === true && stats.uid === process.geteuid?.()
}

function attempt<T>(path: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    const code = systemCode(error)
    if (NO_ROOM.includes(code)) throw new UpstreamProxyError('disk-full', `there is no room for ${path} (${code})`)
    throw new UpstreamProxyError('bundle-unwritable', `${path} cannot be written (${code})`)
  }
}
