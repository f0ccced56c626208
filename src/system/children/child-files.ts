// The files of the level `files`: settings of tools that take a bundle from no variable, and code that makes two languages
// use the proxy. Settings go with the relay; code lies in the package, for a program that cannot find it does not start.

import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import type { Environment } from '../environment.js'
import type { Folder } from '../private-directory.js'
import { createAptConf } from './files/apt-conf.js'
import { isReadableByAll, nodePreloadFile } from './files/node-options.js'
import { createPhpIni } from './files/php-ini.js'
import { rubyLibraryDirectory } from './files/ruby-lib.js'
import { createWgetrc } from './files/wgetrc.js'

/** Where they are. */
export interface ChildFiles {
  readonly wgetrc: string
  readonly phpIniDirectory: string
  /** undefined: what is to be said there cannot be said. */
  readonly aptConf: string | undefined
  readonly javaTrustStore: string
  readonly nodePreload: string
  readonly rubyLibrary: string
}

/**
 * Writes them, but for the Java trust store, which is written where certificates are.
 * @throws {UpstreamProxyError} `bundle-unwritable` or `disk-full`
 */
export function writeChildFiles(
  folder: Folder,
  environment: Environment,
  { fullBundleFile, javaTrustStore }: { readonly fullBundleFile: string; readonly javaTrustStore: string },
): ChildFiles {
  const wgetrc = createWgetrc(environment, fullBundleFile)
  const aptConf = createAptConf(environment, fullBundleFile)
  return {
    wgetrc: folder.writeFile('wgetrc', wgetrc.text, wgetrc.mode),
    phpIniDirectory: folder.writeFolder('php', { 'ccr-upstream-proxy.ini': createPhpIni(fullBundleFile) }),
    aptConf: aptConf === undefined ? undefined : folder.writeFile('apt.conf', aptConf),
    javaTrustStore,
    nodePreload: placeCode(folder, nodePreloadFile()),
    rubyLibrary: rubyLibraryDirectory(),
  }
}

/** A file of this package where all can read it; else a copy of it, which goes with the relay. */
function placeCode(folder: Folder, file: string): string {
  return isReadableByAll(file) ? file : folder.writeFile(basename(file), readFileSync(file))
}
