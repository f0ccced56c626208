// The clients that npm has: the lines of Node, package managers, libraries. Their versions are in npm-tools/; they live in
// a folder of their own, and are put there by `npm run matrix -- --install`.

import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const SOURCE = join(ROOT, 'test/matrix/npm-tools')
/** Where they are. */
const CACHE = join(ROOT, 'node_modules/.cache/ccr-matrix')

/** The node_modules folder with all of them. */
export const NPM_TOOLS = join(CACHE, 'node_modules')

/** The Bun that the tests have. */
export const BUN = join(ROOT, `node_modules/@oven/bun-linux-${process.arch === 'arm64' ? 'aarch64' : 'x64'}/bin/bun`)

/** Installs them; nothing of theirs is run. */
export function installNpmTools(): void {
  mkdirSync(CACHE, { recursive: true })
  copyFileSync(join(SOURCE, 'package.json'), join(CACHE, 'package.json'))
  const options = ['--ignore-scripts', '--no-package-lock', '--no-audit', '--no-fund', '--loglevel=error']
  const npm = spawnSync('npm', ['install', ...options], { cwd: CACHE, stdio: 'inherit' })
  if (npm.status !== 0) throw new Error('npm could not install the clients of test/matrix/npm-tools')
}

/** The binary of a line of Node, quoted for a shell: the installed one, or the Node that runs this where it is of that line. */
export function nodeBinary(line: number): string {
  const file = join(NPM_TOOLS, `node${line}/bin/node`)
  return existsSync(file) || process.versions.node.split('.')[0] !== String(line)
    ? `'${file}'`
    : `'${process.execPath}'`
}

/** The path of a file of one of them, quoted for a shell. */
export function npmTool(path: string): string {
  return `'${join(NPM_TOOLS, path)}'`
}
