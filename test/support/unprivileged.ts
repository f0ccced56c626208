// Who the children of a test are. A root that can read every process proves nothing about what others can read, so that
// under root the children are nobody; and where the checkout lies in a folder that nobody may enter, in a copy of the
// package.

import { chmodSync, chownSync, cpSync, existsSync, lstatSync, mkdirSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { createTempDirectory, type Scope } from './temp-dir.js'

/** The user that owns nothing, on Linux and elsewhere. */
const NOBODY = 65_534

/** The user that runs the children, and the package as that user reaches it. */
export interface Actor {
  /** What spawn() takes: nothing when the children are who the tests are. */
  readonly ids: { readonly uid?: number; readonly gid?: number }
  /** Root that could not become somebody else. */
  readonly isRoot: boolean
  readonly nodeFile: string
  readonly cliFile: string
  /** The public names of the package, for import(). */
  readonly packageUrl: string
  /** The same of another copy of the package, which goes with `scope`. */
  copyOfPackage(scope: Scope): string
  /** Where the children find a program of the tests that needs nothing but Node. */
  programFile(url: URL): string
  /** Gives files to the children's user. */
  own(...paths: readonly string[]): void
}

/** Finds out who the children can be. */
export function chooseActor(scope: Scope): Actor {
  const root = dirname(fileURLToPath(import.meta.resolve('ccr-upstream-proxy/package.json')))
  if (process.getuid?.() !== 0) return createActor({}, root, undefined)
  if (!canNobodyEnter(tmpdir())) return createActor({}, root, undefined)
  const ids = { uid: NOBODY, gid: NOBODY }
  if (canNobodyEnter(root) && canNobodyEnter(process.execPath)) return createActor(ids, root, undefined)
  const copy = createTempDirectory(scope, 'package')
  chmodSync(copy, 0o755)
  copyPackage(root, copy)
  cpSync(process.execPath, join(copy, 'node'))
  return createActor(ids, copy, copy)
}

function createActor(ids: Actor['ids'], root: string, copy: string | undefined): Actor {
  return {
    ids,
    isRoot: process.getuid?.() === 0 && ids.uid === undefined,
    nodeFile: copy === undefined ? process.execPath : join(copy, 'node'),
    cliFile: join(root, 'dist/cli/main.js'),
    packageUrl: pathToFileURL(join(root, 'dist/index.js')).href,
    copyOfPackage: (scope) => {
      const folder = createTempDirectory(scope, 'package')
      chmodSync(folder, 0o755)
      copyPackage(root, folder)
      return pathToFileURL(join(folder, 'dist/index.js')).href
    },
    programFile: (url) => {
      const file = fileURLToPath(url)
      if (copy === undefined) return file
      const target = join(copy, file.replaceAll('/', '_'))
      // Once: a child may be reading it.
      if (!existsSync(target)) cpSync(file, target)
      return target
    },
    own: (...paths) => {
      const { uid, gid } = ids
      if (uid !== undefined && gid !== undefined) for (const path of paths) chownSync(path, uid, gid)
    },
  }
}

/** What a package installation holds. */
function copyPackage(root: string, copy: string): void {
  for (const name of ['package.json', 'dist', 'prebuilds', 'src/system/children/preload/ruby'])
    cpSync(join(root, name), join(copy, name), { recursive: true })
  const require = createRequire(join(root, 'package.json'))
  mkdirSync(join(copy, 'node_modules'))
  for (const name of ['ws', 'node-gyp-build']) {
    const folder = dirname(require.resolve(`${name}/package.json`))
    cpSync(folder, join(copy, 'node_modules', name), { recursive: true })
  }
}

/** Whether every folder on the way, and what lies at its end, is open to others. */
function canNobodyEnter(path: string): boolean {
  const isOpen = (lstatSync(path).mode & 0o005) === 0o005
  const parent = dirname(path)
  return isOpen && (parent === path || canNobodyEnter(parent))
}

/** Everything in a folder, with what tells whether it was touched: for comparing before and after. */
export function listTree(folder: string, prefix = ''): string[] {
  return readdirSync(folder)
    .sort()
    .flatMap((name) => {
      const stats = lstatSync(join(folder, name))
      const line = `${prefix}${name} ino=${stats.ino} mode=${stats.mode.toString(8)} size=${stats.size} links=${stats.nlink}`
      return stats.isDirectory() ? [line, ...listTree(join(folder, name), `${prefix}${name}/`)] : [line]
    })
}
