// The certificates that the machine trusts without us: its own bundle, and what the container's CA variables name.

import { existsSync } from 'node:fs'
import { rootCertificates } from 'node:tls'
import { UpstreamProxyError } from '../../errors.js'
import { type ForeignFile, readForeignFile } from '../../foreign-file.js'
import type { Logger } from '../../log.js'
import type { CertificateSources } from './certificate-sources.js'
import { checkCertificates } from './pem.js'

/** Where distributions keep the bundle: the lists of Go's crypto/x509, openssl-probe and curl, commonest first. */
const KNOWN_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt', // Debian, Ubuntu, Arch, Gentoo, Alpine with ca-certificates, NixOS
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem', // RHEL, Fedora, Amazon Linux
  '/etc/pki/tls/certs/ca-bundle.crt', // older RHEL, Fedora
  '/etc/ssl/ca-bundle.pem', // openSUSE, SLES
  '/etc/pki/tls/cacert.pem', // OpenELEC
  '/etc/ssl/cert.pem', // Alpine base image, macOS, OpenBSD
  '/usr/local/etc/ssl/cert.pem', // FreeBSD
  '/opt/etc/ssl/certs/ca-certificates.crt', // Entware
  '/nix/var/nix/profiles/default/etc/ssl/certs/ca-bundle.crt', // Nix on another distribution
] as const

/** Of a bundle: thirty times the largest of a distribution. */
export const MAX_BUNDLE_BYTES = 16 * 1_048_576

/** Reads the certificates of a file, each as PEM; none when it cannot be read. */
export type CertificateReader = (file: string) => readonly string[]

/** The machine's own certificates, each as PEM, and where they come from. */
export interface SystemBundle {
  /** A file, or what stands in for it. */
  readonly source: string
  readonly certificates: readonly string[]
}

/**
 * The certificates of the first bundle that has any: `systemBundleFile` alone where it is given, else what the container names in
 * SSL_CERT_FILE, then the known paths, then the roots that the runtime carries. None, with a warning, when the first has none.
 */
export function readSystemBundle(
  { systemBundleFile, namedBundleFile }: CertificateSources,
  read: CertificateReader,
  logger: Logger,
): SystemBundle {
  if (systemBundleFile !== undefined)
    return { source: systemBundleFile, certificates: readGivenBundle(systemBundleFile, read, logger) }
  for (const path of [namedBundleFile, ...KNOWN_BUNDLES]) {
    const certificates = path && existsSync(path) ? read(path) : []
    if (path && certificates.length > 0) return { source: path, certificates }
  }
  logger.debug("no system CA bundle was found: the runtime's own roots stand in")
  const { certificates } = checkCertificates(rootCertificates.join('\n'))
  return { source: "the runtime's own roots, for there is no system bundle", certificates }
}

function readGivenBundle(file: string, read: CertificateReader, logger: Logger): readonly string[] {
  const certificates = read(file)
  if (certificates.length === 0) {
    const message = `the system CA bundle ${file} has no certificate: clients trust only what the gateway signs`
    logger.warn(new UpstreamProxyError('system-bundle-missing', message))
  }
  return certificates
}

/** The certificates of a file; none when it cannot be read, with a warning where there is something. */
export function readCertificateFile(path: string, logger: Logger): readonly string[] {
  const file = readForeignFile(path, { maxBytes: MAX_BUNDLE_BYTES })
  if (file.problem === undefined) return certificatesOf(path, file, logger)
  if (file.problem === 'missing') logger.debug(`${path} ${file.why}`)
  else logger.warn(new UpstreamProxyError('file-unusable', `${path} ${file.why}: what it holds is not trusted`))
  return []
}

/** The certificates of a file that was read. Broken blocks are left out with a warning. */
export function certificatesOf(path: string, { bytes }: ForeignFile, logger: Logger): readonly string[] {
  const { certificates, broken } = checkCertificates(bytes.toString('latin1'))
  if (broken > 0)
    logger.warn(new UpstreamProxyError('certificate-skipped', `${path}: ${broken} blocks are no certificate`))
  return certificates
}
