// The native addon: its types, and how its file is found and loaded. The look-up ends in this package's own prebuilds/,
// whatever the environment says, because whoever chooses the file chooses the code that runs beside the token. No policy
// lives here: what a result means, and what to do without an addon, is the callers' affair.

import { closeSync, openSync, readSync, realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What fstat(2) said of the file that was opened. */
export interface FileFacts {
  readonly dev: bigint
  readonly ino: bigint
  /** Type and permissions, as `st_mode`. */
  readonly mode: number
  readonly uid: number
  readonly nlink: number
}

/** A token in memory outside every heap. Dropping the handle wipes it too, at some garbage collection. */
export interface TokenFileHandle extends FileFacts {
  readonly problem?: never
  /** Length of the token in bytes. */
  readonly length: number
  /** Whether the memory is locked against swapping. */
  readonly locked: boolean
  /** Copies the token: its length, or -ERANGE if it does not fit behind `offset`, or -EBADF after `wipe()`. */
  copyTo(target: Uint8Array, offset: number): number
  /** Zeroes and releases the memory; any number of times. */
  wipe(): void
  /**
   * Empties the file, then unlinks it: 0, or -errno; -ESTALE, with nothing removed, if the path names another file by
   * now. The file may be empty even if unlinking failed. The token stays usable.
   */
  unlink(): number
}

/** A token file that was not read. The facts are there if the file could be opened. */
export interface TokenFileRefusal extends Partial<FileFacts> {
  readonly problem: 'open' | 'not-regular' | 'empty' | 'too-large' | 'charset' | 'read' | 'memory'
  /** Negative errno of the system call that failed; 0 if none did. */
  readonly errno: number
}

/** Results are negative errno numbers on failure. Nothing throws but a TypeError for arguments of a wrong type. */
export interface Addon {
  /** prctl(2) PR_SET_DUMPABLE: 0, or -errno; -ENOSYS where there is no prctl. */
  setDumpable(value: 0 | 1): number
  /** prctl(2) PR_GET_DUMPABLE: 0, 1 or 2, or -errno; -ENOSYS where there is no prctl. */
  getDumpable(): number
  /**
   * setrlimit(2) RLIMIT_CORE: the soft limit in bytes that was before, Infinity for none, or -errno. Infinity, and all
   * that is above the hard limit, means the hard limit.
   */
  setCoreLimit(bytes: number): number
  /** Opens a regular file without following a link or waiting, and reads a token of visible ASCII, trailing space cut. */
  openTokenFile(path: string, maxBytes: number): TokenFileHandle | TokenFileRefusal
  /**
   * Turns payload bytes into WebSocket frames in place, as `EncodeFrames` in protocol/frame.ts: how many bytes before
   * `payloadOffset` they begin. Nothing is written on failure: -EINVAL for a number that is no length or offset,
   * -ERANGE if headers, payload or keys are not within their array.
   */
  encodeFrames(
    buffer: Uint8Array,
    payloadOffset: number,
    payloadLength: number,
    maxMessageBytes: number,
    keys: Uint8Array,
    keyOffset: number,
  ): number
}

/** `not-found`: no file for this platform. `not-loadable`: there is one, and `cause` is what the loader said of it. */
export type AddonLoading =
  | { readonly addon: Addon; readonly error?: never; readonly cause?: never }
  | { readonly addon?: never; readonly error: 'not-found' | 'not-loadable'; readonly cause: unknown }

/** Not at the import: a bundle of the older module format has no address here, and then there is no addon, but all else. */
function createRequireHere(): NodeJS.Require {
  return createRequire(import.meta.url)
}

/** Never throws. `packageRoot` is the folder with package.json and prebuilds/; the runtime keeps what it loaded. */
export function loadAddon(packageRoot?: string): AddonLoading {
  if (packageRoot === undefined && IS_COMPILED) return loadEmbedded()
  let file: string
  try {
    file = findPrebuild(packageRoot ?? fileURLToPath(new URL('..', import.meta.url)))
  } catch (cause) {
    return { error: 'not-found', cause }
  }
  try {
    return { addon: createRequireHere()(file) as Addon }
  } catch (cause) {
    return { error: 'not-loadable', cause }
  }
}

/** The C library that an executable was made for; undefined for what is no dynamic Linux executable. */
export function readLibc(executable = '/proc/self/exe'): 'glibc' | 'musl' | undefined {
  let head: Buffer
  try {
    head = readHead(executable)
  } catch {
    return undefined
  }
  // The dynamic linker's path stands behind the program headers (elf(5), PT_INTERP).
  if (head.includes('/ld-musl-')) return 'musl'
  return head.includes('/ld-linux-') ? 'glibc' : undefined
}

/** Enough for the program headers and the path behind them. */
const HEAD_BYTES = 4_096

function readHead(path: string): Buffer {
  const head = Buffer.alloc(HEAD_BYTES)
  const descriptor = openSync(path, 'r')
  try {
    return head.subarray(0, readSync(descriptor, head, 0, HEAD_BYTES, 0))
  } finally {
    closeSync(descriptor)
  }
}

// -- In an executable of `bun build --compile` --------------------------------------------------------------------------

/** There, modules are in a file system of the executable's own, and what the bundler saw required by name is as well. */
const IS_COMPILED = String(import.meta.url).startsWith('file:///$bunfs/')

function loadEmbedded(): AddonLoading {
  try {
    const addon = requireEmbedded()
    return addon ? { addon } : { error: 'not-found', cause: new Error('no addon is embedded for this platform') }
  } catch (cause) {
    return { error: 'not-loadable', cause }
  }
}

function requireEmbedded(): Addon | undefined {
  switch (`${process.platform}-${process.arch} ${readLibc() ?? 'glibc'}`) {
    case 'linux-x64 glibc':
      return require('../prebuilds/linux-x64/ccr-upstream-proxy.glibc.node')
    case 'linux-x64 musl':
      return require('../prebuilds/linux-x64/ccr-upstream-proxy.musl.node')
    case 'linux-arm64 glibc':
      return require('../prebuilds/linux-arm64/ccr-upstream-proxy.glibc.node')
    case 'linux-arm64 musl':
      return require('../prebuilds/linux-arm64/ccr-upstream-proxy.musl.node')
    default:
      return undefined
  }
}

// -- In a folder --------------------------------------------------------------------------------------------------------

interface NodeGypBuild {
  resolve(packageRoot: string): string
}

// All that node-gyp-build reads. PREBUILDS_ONLY is ours: a build/ left over from development must not win over the files
// that were checked and shipped. So is LIBC: left alone, it takes every system but Alpine for one with glibc.
const lookupEnvironment = (): NodeJS.ProcessEnv => ({
  CCR_UPSTREAM_PROXY_PREBUILD: undefined,
  PREBUILDS_ONLY: '1',
  LIBC: readLibc(),
  ARM_VERSION: undefined,
  npm_config_arch: undefined,
  npm_config_platform: undefined,
  ELECTRON_RUN_AS_NODE: undefined,
})

function findPrebuild(packageRoot: string): string {
  const file = withEnvironment(lookupEnvironment(), () => evaluateNodeGypBuild().resolve(packageRoot))
  const realFile = realpathSync(file)
  // node-gyp-build goes on to the folder of the runtime's executable.
  if (realFile.startsWith(realpathSync(join(packageRoot, 'prebuilds')) + sep)) return realFile
  throw new Error(`${realFile} is outside of the package`)
}

/** It reads the environment once, when it is evaluated, and another package may have had it evaluated before us. */
function evaluateNodeGypBuild(): NodeGypBuild {
  // Not named `require`, which is what Bun's bundler looks for.
  const requireFromHere = createRequireHere()
  const id = requireFromHere.resolve('node-gyp-build/node-gyp-build.js')
  const evaluatedBefore = requireFromHere.cache[id]
  delete requireFromHere.cache[id]
  try {
    return requireFromHere(id) as NodeGypBuild
  } finally {
    if (evaluatedBefore) requireFromHere.cache[id] = evaluatedBefore
  }
}

/** Synchronous, so that nothing else sees the changed environment. */
function withEnvironment<Result>(values: NodeJS.ProcessEnv, action: () => Result): Result {
  const before = Object.keys(values).map((name) => [name, process.env[name]] as const)
  setEnvironment(Object.entries(values))
  try {
    return action()
  } finally {
    setEnvironment(before)
  }
}

function setEnvironment(values: Iterable<readonly [string, string | undefined]>): void {
  for (const [name, value] of values) {
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  }
}
