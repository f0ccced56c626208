// APT_CONFIG: apt takes the proxy from https_proxy, but trusts the system's bundle unless its configuration names another.
// A file that the container has in APT_CONFIG already is included. What stands in /etc/apt/apt.conf.d is read later and
// wins.

import { resolve } from 'node:path'
import type { Environment } from '../../environment.js'
import { readUserFile } from './user-file.js'

const MARKER = '// Written by ccr-upstream-proxy; it goes with the relay.'
const INCLUDE = /^#include "([^"]*)";$/m

/** Content of the file; undefined when a path cannot be said in apt's grammar, which knows no escape. */
export function createAptConf(environment: Environment, bundleFile: string): string | undefined {
  const inherited = originalFile(environment.APT_CONFIG)
  if (/["\n]/.test(`${bundleFile}${inherited ?? ''}`)) return undefined
  const include = inherited === undefined ? [] : [`#include "${inherited}";`]
  return [MARKER, ...include, `Acquire::https::CAInfo "${bundleFile}";`, ''].join('\n')
}

/**
 * The container's file. Where an outer relay has taken its place, what that one includes: its own file may be gone before
 * ours is. A file that cannot be read is left out, for apt ends when it cannot include it.
 */
function originalFile(path: string | undefined): string | undefined {
  if (path === undefined || path === '') return undefined
  const file = readUserFile(path)
  if (file === undefined) return undefined
  return file.text.startsWith(MARKER) ? INCLUDE.exec(file.text)?.[1] : resolve(path)
}
