// The certificates that the machine trusts without us: its own bundle, and what the container's CA variables name.

import type { X509Certificate } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { systemCode, UpstreamProxyError } from '../../errors.js'
import type { Logger } from '../../log.js'
import { parseCertificates } from './pem.js'

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

/**
 * The system's certificates; none, with a warning, when there is no bundle.
 * @param file the bundle; undefined for the first known one that exists
 */
export function readSystemBundle(file: string | undefined, logger: Logger): readonly X509Certificate[] {
  const path = file ?? KNOWN_BUNDLES.find((known) => existsSync(known))
  const certificates = path === undefined ? [] : readCertificateFile(path, logger)
  if (certificates.length === 0) {
    const what =
      path === undefined ? 'no system CA bundle was found' : `the system CA bundle ${path} has no certificate`
    logger.warn(new UpstreamProxyError('system-bundle-missing', `${what}: clients trust only what the gateway signs`))
  }
  return certificates
}

/** The certificates of a file; none, with a warning, when it cannot be read. Broken blocks are left out with a warning. */
export function readCertificateFile(path: string, logger: Logger): readonly X509Certificate[] {
  try {
    const { certificates, broken } = parseCertificates(readFileSync(path, 'latin1'))
    if (broken > 0) {
      logger.warn(new UpstreamProxyError('certificate-skipped', `${path}: ${broken} blocks are no certificate`))
    }
    return certificates
  } catch (error) {
    logger.debug(`${path} cannot be read (${systemCode(error)})`)
    return []
  }
}
