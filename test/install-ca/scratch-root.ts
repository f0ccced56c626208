// Trees of images to install into: laid out as each distribution does it, and one Debian whose own update command runs in
// it; and the photograph of a tree, for comparing before and after.

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { createTempDirectory, type Scope } from '../support/temp-dir.js'

/** What lies in a tree, by path: the text of a file, a link's target, or a program. */
export type Layout = Readonly<
  Record<string, string | { readonly link: string } | { readonly script: string } | 'folder'>
>

/** Lays a tree out in a new folder. */
export function createTree(scope: Scope, layout: Layout): string {
  const root = createTempDirectory(scope, 'root')
  chmodSync(root, 0o755)
  for (const [path, what] of Object.entries(layout)) {
    const file = join(root, path)
    mkdirSync(what === 'folder' ? file : dirname(file), { recursive: true })
    if (what === 'folder') continue
    if (typeof what === 'string') writeFileSync(file, what)
    else if ('link' in what) symlinkSync(what.link, file)
    else writeFileSync(file, what.script, { mode: 0o755 })
  }
  return root
}

/** What `diff -r`, `ls -l` and `stat` would tell of a path. */
export interface PathFacts {
  /** Type, mode, owner, links, and the target or the hash. */
  readonly facts: string
  readonly timeNs: bigint
}

export type Photograph = Readonly<Record<string, PathFacts>>

/** Every path of a tree. */
export function photograph(folder: string): Photograph {
  const tree: Record<string, PathFacts> = {}
  const take = (path: string): void => {
    const { mode, uid, gid, nlink, mtimeNs, isDirectory } = factsOf(join(folder, path))
    const links = isDirectory ? '' : `links=${nlink} `
    const facts = `mode=${mode.toString(8)} owner=${uid}:${gid} ${links}${contentOf(join(folder, path))}`
    tree[path] = { facts, timeNs: mtimeNs }
    if (isDirectory) for (const name of readdirSync(join(folder, path)).sort()) take(join(path, name))
  }
  take('.')
  return tree
}

function factsOf(path: string) {
  const stats = lstatSync(path, { bigint: true })
  const { mode, uid, gid, nlink, mtimeNs } = stats
  return { mode, uid, gid, nlink, mtimeNs, isDirectory: stats.isDirectory() }
}

/** The facts alone, for what is put back after somebody else was there, too: times are then another. */
export function withoutTimes(tree: Photograph): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(tree).map(([path, { facts }]) => [path, facts]))
}

function contentOf(path: string): string {
  const stats = lstatSync(path)
  if (stats.isSymbolicLink()) return `-> ${readlinkSync(path)}`
  return stats.isFile() ? createHash('sha256').update(readFileSync(path)).digest('hex') : ''
}

/** What Debian's update-ca-certificates(8) is made of. */
const PROGRAMS = [
  'sed find ln rm mktemp readlink basename wc chmod mv sort cat run-parts openssl test'.split(' '),
  ['dash'],
].flat()
const UPDATE_COMMAND = '/usr/sbin/update-ca-certificates'

/** Why there can be no Debian here; undefined when there can. */
export function whyNoDebian(): string | undefined {
  if (process.platform !== 'linux') return 'only Linux has chroot(2) as it is used here'
  if (process.geteuid?.() !== 0) return 'only root can chroot'
  const missing = PROGRAMS.find((name) => whereIs(name) === undefined)
  if (missing !== undefined) return `${missing} is not installed`
  const isDebian = existsSync(UPDATE_COMMAND) && readFileSync(UPDATE_COMMAND, 'latin1').startsWith('#!/bin/sh')
  return isDebian ? undefined : "Debian's update-ca-certificates is not installed"
}

/** A small Debian: its own update-ca-certificates, what that runs, and a few certificates. Its store is up to date. */
export function createDebian(scope: Scope, certificates: Readonly<Record<string, string>>): string {
  const root = createTree(scope, {
    'tmp/': 'folder',
    'var/lib': 'folder',
    'etc/ssl/certs': 'folder',
    'etc/ca-certificates/update.d': 'folder',
    'usr/local/share/ca-certificates': 'folder',
    'etc/ca-certificates.conf': `# the administrator's choice\n${Object.keys(certificates).join('\n')}\n`,
    dev: 'folder',
  })
  for (const [name, pem] of Object.entries(certificates)) put(root, `usr/share/ca-certificates/${name}`, pem)
  for (const name of PROGRAMS) copyProgram(root, whereIs(name) as string)
  put(root, 'bin/sh', '')
  copyFileSync(realpathSync(whereIs('dash') as string), join(root, 'bin/sh'))
  chmodSync(join(root, 'bin/sh'), 0o755)
  mkdirSync(join(root, 'usr/sbin'), { recursive: true })
  cpSync(UPDATE_COMMAND, join(root, UPDATE_COMMAND))
  mustRun('mknod', ['-m', '666', join(root, 'dev/null'), 'c', '1', '3'])
  updateInside(root)
  return root
}

/** Runs the Debian's own update command in it. */
export function updateInside(root: string): void {
  mustRun('chroot', [root, UPDATE_COMMAND])
}

export function put(root: string, path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), text)
}

function whereIs(name: string): string | undefined {
  return ['/usr/bin', '/bin', '/usr/sbin', '/sbin'].map((folder) => join(folder, name)).find((path) => existsSync(path))
}

/** The program and the libraries that ldd(1) names. */
function copyProgram(root: string, file: string): void {
  const target = join(root, 'usr/bin', basename(file))
  mkdirSync(dirname(target), { recursive: true })
  copyFileSync(realpathSync(file), target)
  chmodSync(target, 0o755)
  const { stdout } = spawnSync('ldd', [realpathSync(file)], { encoding: 'utf8' })
  for (const [library] of stdout.matchAll(/\/\S+/g)) {
    if (existsSync(join(root, library)) || !existsSync(library)) continue
    mkdirSync(dirname(join(root, library)), { recursive: true })
    copyFileSync(realpathSync(library), join(root, library))
    chmodSync(join(root, library), 0o755)
  }
}

function mustRun(program: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(program, args, {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`)
}
