// The certificates as files for children: everything that they are to trust, and what comes on top of their own roots.

import type { X509Certificate } from 'node:crypto'
import type { PrivateDirectory } from '../private-directory.js'
import { type Certificate, formatCertificates } from './pem.js'
import type { TrustedCertificates } from './trusted-certificates.js'

export interface CertificateFiles {
  readonly fullBundleFile: string
  readonly extraCertificatesFile: string
  /** What is in the full bundle. */
  readonly certificates: readonly Certificate[]
}

/**
 * Writes the files, again where they are there already.
 * @throws {UpstreamProxyError} `bundle-unwritable`
 */
export function writeCertificateFiles(
  directory: PrivateDirectory,
  { system, extra }: TrustedCertificates,
  gatewayCa: readonly X509Certificate[],
): CertificateFiles {
  const certificates = [...system, ...gatewayCa]
  return {
    fullBundleFile: directory.writeFile('ca-bundle.pem', formatCertificates(certificates)),
    extraCertificatesFile: directory.writeFile('extra-certificates.pem', formatCertificates([...extra, ...gatewayCa])),
    certificates,
  }
}
