// A Java keystore, through the JDK's own keytool, which works on a copy: the store itself changes at once or not at all.

import type { X509Certificate } from 'node:crypto'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { UpstreamProxyError } from '../../errors.js'
import { hashOfCertificate, parseCertificates } from '../certificates/pem.js'
import { PrivateDirectory } from '../private-directory.js'
import { readStoreFile } from './path-state.js'
import { type ProgramOutcome, runProgram, type TargetRoot } from './target-root.js'

/** The password that every JDK ships its store with; it protects nothing, for the certificates are public. */
const PASSWORD = 'changeit'
const JVM_FOLDERS = ['/usr/lib/jvm', '/opt/java', '/usr/java'] as const

export class Keystore {
  readonly #root: TargetRoot
  readonly #path: string

  /** @param path of the root, without links */
  constructor(root: TargetRoot, path: string) {
    this.#root = root
    this.#path = path
  }

  /**
   * Those of the certificates that are not in the store.
   * @throws {UpstreamProxyError} `keytool-missing`, `keytool-failed`
   */
  missing(certificates: readonly X509Certificate[]): readonly X509Certificate[] {
    const bytes = readStoreFile(this.#root.at(this.#path))
    // A JKS store, and a PKCS12 store without encryption, hold the certificates as they are.
    const unseen = certificates.filter(({ raw }) => !bytes.includes(raw))
    if (unseen.length === 0) return []
    const { output } = this.#keytool(this.#root.at(this.#path), ['-list', '-rfc'])
    const held = new Set(parseCertificates(output).certificates.map(({ fingerprint256 }) => fingerprint256))
    return unseen.filter(({ fingerprint256 }) => !held.has(fingerprint256))
  }

  /**
   * The bytes of the store with certificates added, by alias.
   * @throws {UpstreamProxyError} `keytool-missing`, `keytool-failed`
   */
  with(certificates: ReadonlyMap<string, X509Certificate>): Buffer {
    return this.#edit((copy, directory) => {
      const file = join(directory, 'certificate.pem')
      for (const [alias, certificate] of certificates) {
        writeFileSync(file, certificate.toString())
        this.#keytool(copy, ['-importcert', '-noprompt', '-trustcacerts', '-alias', alias, '-file', file])
      }
    })
  }

  /**
   * The bytes of the store without entries; undefined when it has none of them.
   * @throws {UpstreamProxyError} `keytool-missing`, `keytool-failed`
   */
  withoutAliases(aliases: readonly string[]): Buffer | undefined {
    const { output } = this.#keytool(this.#root.at(this.#path), ['-list'])
    const held = aliases.filter((alias) => output.includes(`${alias},`))
    return held.length === 0 ? undefined : this.#delete(held)
  }

  /**
   * The bytes of the store without certificates, given by their SHA-256, under whatever alias; undefined when it has none of
   * them, or when there is no keytool to say so.
   * @throws {UpstreamProxyError} `keytool-failed`
   */
  withoutCertificates(hashes: readonly string[]): Buffer | undefined {
    if (this.#findKeytool() === undefined) return undefined
    const { output } = this.#keytool(this.#root.at(this.#path), ['-list', '-rfc'])
    const aliases = output.split(/^Alias name: /m).flatMap((entry) => {
      const [alias = ''] = entry.split('\n')
      const { certificates } = parseCertificates(entry)
      return certificates.some((certificate) => hashes.includes(hashOfCertificate(certificate))) ? [alias.trim()] : []
    })
    return aliases.length === 0 ? undefined : this.#delete(aliases)
  }

  #delete(aliases: readonly string[]): Buffer {
    return this.#edit((copy) => {
      for (const alias of aliases) this.#keytool(copy, ['-delete', '-alias', alias])
    })
  }

  #edit(edit: (copy: string, directory: string) => void): Buffer {
    const directory = new PrivateDirectory()
    try {
      const copy = join(directory.path, 'keystore')
      writeFileSync(copy, readStoreFile(this.#root.at(this.#path)))
      edit(copy, directory.path)
      return readStoreFile(copy)
    } finally {
      directory.remove()
    }
  }

  #keytool(store: string, args: readonly string[]): ProgramOutcome {
    const keytool = this.#findKeytool()
    if (keytool === undefined) {
      throw new UpstreamProxyError(
        'keytool-missing',
        `there is no keytool to work on ${this.#root.at(this.#path)} with`,
      )
    }
    const env = { PATH: '/usr/bin:/bin', LC_ALL: 'C', HOME: tmpdir() }
    const outcome = runProgram(keytool, [...args, '-keystore', store, '-storepass', PASSWORD], env)
    if (outcome.ok) return outcome
    const reason = outcome.output.split('\n').find((line) => line.includes('rror')) ?? 'it did not end well'
    throw new UpstreamProxyError('keytool-failed', `keytool failed on ${this.#root.at(this.#path)}: ${reason}`)
  }

  /** That of the store's own JDK; for a scratch root, whose programs may not run here, any of this machine. */
  #findKeytool(): string | undefined {
    const home = join(dirname(this.#path), '../..')
    const own = this.#root.isOwn ? [join(home, 'bin/keytool'), join(home, '../bin/keytool')] : []
    const javaHome = process.env.JAVA_HOME
    const named = javaHome === undefined || javaHome === '' ? [] : [join(javaHome, 'bin/keytool')]
    const onPath = (process.env.PATH ?? '')
      .split(':')
      .flatMap((folder) => (folder === '' ? [] : [join(folder, 'keytool')]))
    const installed = JVM_FOLDERS.flatMap((folder) =>
      childrenOf(folder).map((name) => join(folder, name, 'bin/keytool')),
    )
    return [...own, ...named, ...onPath, ...installed].find((path) => existsSync(path))
  }
}

function childrenOf(folder: string): readonly string[] {
  try {
    return readdirSync(folder).sort()
  } catch {
    return []
  }
}
