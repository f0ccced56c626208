// NODE_OPTIONS: the preload that makes older Node versions use the proxy. Its file is part of this package, and so outlives
// every relay: Node does not start at all when a preload is missing.

import { lstatSync, realpathSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The preload of this package; asked for when it is needed, for a bundle of another form has no such address. */
export function nodePreloadFile(): string {
  return fileURLToPath(new URL('../preload/node-proxy.cjs', import.meta.url))
}

/** Read and entered by the others of owner, group and others. */
const OTHERS_READ = 0o004
const OTHERS_ENTER = 0o001

/** The inherited options as they stand, then the preload, unless it is there already. */
export function nodeOptions(inherited: string | undefined, preloadFile: string): string {
  const own = ['--require', preloadFile]
  const words = splitOptions(inherited ?? '')
  const isThere = words.some(
    (word, index) =>
      word === `--require=${preloadFile}` || (/^(?:-r|--require)$/.test(word) && words[index + 1] === preloadFile),
  )
  if (isThere) return inherited ?? ''
  return [inherited?.trim() ?? '', own.map(quoteOption).join(' ')].filter((part) => part !== '').join(' ')
}

/** Whether users other than its owner and group can come to a file and read it; through symbolic links as well. */
export function isReadableByAll(path: string): boolean {
  try {
    const file = realpathSync(path)
    return hasMode(file, OTHERS_READ) && [resolve(path), file].every((way) => canBeEntered(dirname(way)))
  } catch {
    return false
  }
}

function canBeEntered(folder: string): boolean {
  const parent = dirname(folder)
  return hasMode(folder, OTHERS_ENTER) && (parent === folder || canBeEntered(parent))
}

function hasMode(path: string, bits: number): boolean {
  return (lstatSync(path).mode & bits) === bits
}

/** As Node reads it: words parted by spaces, in which only "…" quotes, and only there a backslash escapes. */
function splitOptions(text: string): string[] {
  const words = text.match(/(?:[^ "]|"(?:[^"\\]|\\.)*(?:"|$))+/gs) ?? []
  return words.map((word) =>
    word.replace(/"((?:[^"\\]|\\.)*)"?/gs, (_, quoted: string) => quoted.replace(/\\(.)/gs, '$1')),
  )
}

function quoteOption(option: string): string {
  return /[ "\\]/.test(option) ? `"${option.replace(/["\\]/g, '\\$&')}"` : option
}
