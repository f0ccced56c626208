// The certificates as files for children: everything that they are to trust, and what comes on top of their own roots.

import type { X509Certificate } from 'node:crypto'
import type { Folder } from '../private-directory.js'
import { type Certificate, formatCertificates } from './pem.js'
import type { TrustedCertificates } from './trusted-certificates.js'

/** Paths. */
export interface BundleFiles {
  readonly fullBundleFile: string
  readonly extraCertificatesFile: string
}

export interface CertificateFiles extends BundleFiles {
  /** What is in the full bundle. */
  readonly certificates: readonly Certificate[]
}

/**
 * Writes the files, again where they are there already.
 * @throws {UpstreamProxyError} `bundle-unwritable` or `disk-full`
 */
export function writeCertificateFiles(
  folder: Folder,
  { system, extra }: TrustedCertificates,
  gatewayCa: readonly X509Certificate[],
): CertificateFiles {
  const certificates = [...system, ...gatewayCa]
  return {
    fullBundleFile: folder.writeFile('ca-bundle.pem', formatCertificates(certificates)),
    extraCertificatesFile: folder.writeFile('extra-certificates.pem', formatCertificates([...extra, ...gatewayCa])),
    certificates,
  }
}
