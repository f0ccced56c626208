// The keystores of the JDKs.

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { asUpstreamProxyError, UpstreamProxyError } from '../../errors.js'
import { writeRecorded } from './changes.js'
import type { Installation, Keystores, StoreReport } from './installation.js'
import { Keystore } from './keystore.js'
import type { TargetRoot } from './target-root.js'

/** Where packages and images keep JDKs: each folder in one of these is tried. */
const JDK_FOLDERS = [
  '/usr/lib/jvm',
  '/usr/java',
  '/opt',
  '/opt/java',
  '/usr/local',
  '/root/.sdkman/candidates/java',
] as const
/** In a JDK; Java 8 has its runtime in a folder of its own. */
const IN_JDK = ['lib/security/cacerts', 'jre/lib/security/cacerts'] as const
/** Shared by the JDKs of a distribution. */
const SHARED = [
  '/etc/ssl/certs/java/cacerts',
  '/etc/pki/java/cacerts',
  '/var/lib/ca-certificates/java-cacerts',
] as const

/** Adds the certificates to every keystore. */
export function installJava(installation: Installation): StoreReport[] {
  const { root, keystores } = installation
  const paths = findKeystores(root, keystores)
  if (paths.length === 0) return [{ store: 'java', status: 'not found' }]
  return paths.map((path) => {
    try {
      return installKeystore(installation, path)
    } catch (error) {
      const { code, message, hint } = asUpstreamProxyError(error, 'store-unwritable', `${path} cannot be changed`)
      return { store: 'java', path, status: 'failed', code, seen: message, hint }
    }
  })
}

function installKeystore({ root, certificates, journal }: Installation, path: string): StoreReport {
  if (!root.has(path) || root.isDirectory(path)) {
    throw new UpstreamProxyError('store-unwritable', `${root.at(path)} is no keystore`)
  }
  const keystore = new Keystore(root, path)
  const missing = new Set(keystore.missing([...certificates.values()]))
  const added = new Map([...certificates].filter(([, certificate]) => missing.has(certificate)))
  if (added.size === 0) return { store: 'java', path, status: 'already there' }
  if (journal !== undefined) {
    const aliases = [...added.keys()]
    writeRecorded(root, journal, 'java', path, keystore.with(added), { kind: 'keystore', aliases })
  }
  return { store: 'java', path, status: 'installed' }
}

/** Each once, whatever links lead there. */
function findKeystores(root: TargetRoot, { auto, paths }: Keystores): readonly string[] {
  const found = auto ? candidates(root).filter((path) => root.has(path) && !root.isDirectory(path)) : []
  return [...new Set([...paths, ...found].map((path) => root.resolve(path)))]
}

function candidates(root: TargetRoot): readonly string[] {
  const javaHome = root.isOwn ? process.env.JAVA_HOME : undefined
  const jdks = JDK_FOLDERS.flatMap((folder) => childrenOf(root, folder).map((name) => join(folder, name)))
  const homes = javaHome ? [javaHome, ...jdks] : jdks
  return [...SHARED, ...homes.flatMap((home) => IN_JDK.map((path) => join(home, path)))]
}

function childrenOf(root: TargetRoot, folder: string): readonly string[] {
  return root.isDirectory(folder) ? readdirSync(root.at(root.resolve(folder))).sort() : []
}
