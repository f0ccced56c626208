// WGETRC: GNU wget built with GnuTLS (Debian, Ubuntu) takes the proxy from https_proxy, but trusts the system's bundle and
// nothing else, unless a wgetrc says so. WGETRC stands for ~/.wgetrc, so that the user's own lines are taken along.

import { join } from 'node:path'
import type { Environment } from '../../environment.js'
import { readUserFile } from './user-file.js'

/** A file to write. */
export interface WgetrcFile {
  readonly text: string
  /** 0600 where the user's own file is closed to others: it may hold passwords. */
  readonly mode: number
}

/** Which wgetrc command a line sets; wget ignores case, `-` and `_`. */
const COMMAND = /^\s*([A-Za-z_-]+)\s*=/
/** What would stand against the relay. */
const REPLACED = new Set(['cacertificate', 'httpsproxy'])

/** The lines of WGETRC, or else of ~/.wgetrc, with the bundle as what wget trusts. */
export function createWgetrc(environment: Environment, bundleFile: string): WgetrcFile {
  const home = environment.HOME ?? ''
  const path = environment.WGETRC || (home && join(home, '.wgetrc'))
  const own = path ? readUserFile(path) : undefined
  const lines = (own?.text ?? '').split(/\r?\n/).filter((line) => line !== '' && !isReplaced(line))
  const text = [...lines, `ca_certificate = ${bundleFile}`, ''].join('\n')
  return { text, mode: own === undefined || own.isPublic ? 0o644 : 0o600 }
}

function isReplaced(line: string): boolean {
  const command = COMMAND.exec(line)?.[1] ?? ''
  return REPLACED.has(command.replace(/[-_]/g, '').toLowerCase())
}
