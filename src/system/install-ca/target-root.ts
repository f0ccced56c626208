// The file system that is worked on: the machine's own, or a scratch root that an image is built in. Paths are those that a
// process inside would use; links are followed as it would follow them, so that none leads out of the root.

import { spawnSync } from 'node:child_process'
import { lstatSync, readlinkSync, type Stats, statSync } from 'node:fs'
import { basename, dirname, join, posix } from 'node:path'
import { systemCode } from '../../errors.js'

/** As the kernel: more links than that are a circle (path_resolution(7)). */
const MAX_LINKS = 40
const PROGRAM_FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'] as const
/** Rebuilding a store of a few hundred certificates takes seconds; a JVM on a busy machine some more. */
const PROGRAM_TIMEOUT_MS = 300_000

/** How a program ended. */
export interface ProgramOutcome {
  readonly ok: boolean
  readonly output: string
}

export class TargetRoot {
  /** '' for the machine's own root. */
  readonly #directory: string

  /** @param directory absolute, without links in it */
  constructor(directory: string) {
    this.#directory = directory === '/' ? '' : directory
  }

  get isOwn(): boolean {
    return this.#directory === ''
  }

  /** Where a path of the root is for this process: its folders resolved, a link at its end not followed. */
  at(path: string): string {
    const clean = posix.normalize(`/${path}`)
    return clean === '/' ? this.#directory || '/' : join(this.#outside(this.resolve(dirname(clean))), basename(clean))
  }

  /** A path of the root with every link in it followed, within the root; what does not exist is taken as it is. */
  resolve(path: string): string {
    let resolved = '/'
    let links = 0
    const rest = segmentsOf(path)
    for (let segment = rest.shift(); segment !== undefined; segment = rest.shift()) {
      // '..' of the root is the root.
      const next = posix.join(resolved, segment)
      const stats = this.#look(next)
      if (!stats?.isSymbolicLink()) {
        resolved = next
        continue
      }
      if (++links > MAX_LINKS) throw Object.assign(new Error(`${path} is a circle of links`), { code: 'ELOOP' })
      const target = readlinkSync(this.#outside(next))
      if (target.startsWith('/')) resolved = '/'
      rest.unshift(...segmentsOf(target))
    }
    return resolved
  }

  /** Whether something is there, behind all links. */
  has(path: string): boolean {
    return this.#look(this.resolve(path)) !== undefined
  }

  isDirectory(path: string): boolean {
    return this.#look(this.resolve(path))?.isDirectory() === true
  }

  /** Where a program of the root is, as a path of the root; undefined when there is none. */
  findProgram(name: string): string | undefined {
    return PROGRAM_FOLDERS.map((folder) => join(folder, name)).find((path) => this.isExecutable(path))
  }

  isExecutable(path: string): boolean {
    const stats = this.#look(this.resolve(path))
    return stats?.isFile() === true && (stats.mode & 0o111) !== 0
  }

  /** Why no program of the root can be run; undefined when they can. */
  get obstacle(): string | undefined {
    if (this.isOwn) return undefined
    if (process.geteuid?.() !== 0) return 'only root can run a command in it (chroot)'
    // Without the device, `> /dev/null` of a script would leave a file in the image.
    const device = statSync(this.#outside('/dev/null'), { throwIfNoEntry: false })
    return device?.isCharacterDevice() ? undefined : 'it has no /dev/null'
  }

  /** Runs a program of the root, inside the root, with nothing of this process's environment. */
  run(program: string, args: readonly string[], temporaryDirectory: string): ProgramOutcome {
    const env = { PATH: PROGRAM_FOLDERS.join(':'), HOME: '/root', LC_ALL: 'C.UTF-8', TMPDIR: temporaryDirectory }
    return this.isOwn ? runProgram(program, args, env) : runProgram('chroot', [this.#directory, program, ...args], env)
  }

  /** undefined where nothing is, also below what is no folder. */
  #look(path: string): Stats | undefined {
    try {
      return lstatSync(this.#outside(path), { throwIfNoEntry: false })
    } catch (error) {
      if (systemCode(error) === 'ENOTDIR') return undefined
      throw error
    }
  }

  #outside(path: string): string {
    return path === '/' ? this.#directory || '/' : `${this.#directory}${path}`
  }
}

/** Runs a program to its end. What it says is kept for the message of a failure. */
export function runProgram(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): ProgramOutcome {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    env: { ...env },
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    timeout: PROGRAM_TIMEOUT_MS,
    maxBuffer: 16 * 1024 * 1024,
  })
  return { ok: status === 0 && error === undefined, output: `${stdout ?? ''}${stderr ?? ''}`.trim() }
}

function segmentsOf(path: string): string[] {
  return path.split('/').filter((segment) => segment !== '' && segment !== '.')
}
