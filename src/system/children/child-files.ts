// The files of the level `files`: settings of tools that take a bundle from no variable, and code that makes two languages
// use the proxy. Settings go with the relay; code lies in the package, for a program that cannot find it does not start.

import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import type { Certificate } from '../certificates/pem.js'
import type { PrivateDirectory } from '../private-directory.js'
import type { Environment } from '../settings.js'
import { createAptConf } from './files/apt-conf.js'
import { encodeJavaTrustStore } from './files/java-trust-store.js'
import { isReadableByAll, NODE_PRELOAD_FILE } from './files/node-options.js'
import { createPhpIni } from './files/php-ini.js'
import { RUBY_LIBRARY_DIRECTORY } from './files/ruby-lib.js'
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
 * Writes them.
 * @throws {UpstreamProxyError} `bundle-unwritable`
 */
export function writeChildFiles(
  directory: PrivateDirectory,
  environment: Environment,
  fullBundleFile: string,
  certificates: readonly Certificate[],
): ChildFiles {
  const wgetrc = createWgetrc(environment, fullBundleFile)
  const aptConf = createAptConf(environment, fullBundleFile)
  return {
    wgetrc: directory.writeFile('wgetrc', wgetrc.text, wgetrc.mode),
    phpIniDirectory: directory.writeFolder('php', { 'ccr-upstream-proxy.ini': createPhpIni(fullBundleFile) }),
    aptConf: aptConf === undefined ? undefined : directory.writeFile('apt.conf', aptConf),
    javaTrustStore: writeJavaTrustStore(directory, certificates),
    nodePreload: placeCode(directory, NODE_PRELOAD_FILE),
    rubyLibrary: RUBY_LIBRARY_DIRECTORY,
  }
}

/** Writes the trust store, at the start and whenever the certificates have changed. */
export function writeJavaTrustStore(directory: PrivateDirectory, certificates: readonly Certificate[]): string {
  return directory.writeFile('java-trust-store.jks', encodeJavaTrustStore(certificates))
}

/** A file of this package where all can read it; else a copy of it, which goes with the relay. */
function placeCode(directory: PrivateDirectory, file: string): string {
  return isReadableByAll(file) ? file : directory.writeFile(basename(file), readFileSync(file))
}
