// Certificates in PEM form (RFC 7468): taken apart, parsed one by one, and written back clean. One block that does not
// parse would break every OpenSSL and GnuTLS client of the bundle.

import { X509Certificate } from 'node:crypto'

/** The certificates of a PEM text, and how many blocks were none. */
export interface ParsedCertificates {
  readonly certificates: readonly X509Certificate[]
  readonly broken: number
}

/** With the label of RFC 7468, or the older one that OpenSSL takes as well. */
const CERTIFICATE_BLOCK = /-----BEGIN (X509 |)CERTIFICATE-----([\s\S]*?)-----END \1CERTIFICATE-----/g

/** Everything between BEGIN CERTIFICATE and END CERTIFICATE; other blocks and comments are passed over. */
export function parseCertificates(pem: string): ParsedCertificates {
  const certificates: X509Certificate[] = []
  let broken = 0
  for (const [, , body] of pem.matchAll(CERTIFICATE_BLOCK)) {
    try {
      certificates.push(new X509Certificate(`-----BEGIN CERTIFICATE-----${body}-----END CERTIFICATE-----`))
    } catch {
      broken++
    }
  }
  return { certificates, broken }
}

/** The certificates as PEM, each once, in order. */
export function formatCertificates(certificates: Iterable<X509Certificate>): string {
  return [...new Set(Array.from(certificates, (certificate) => certificate.toString()))].join('')
}

/** SHA-256 of a certificate, lower-case hexadecimal. */
export function hashOfCertificate({ fingerprint256 }: X509Certificate): string {
  return fingerprint256.replaceAll(':', '').toLowerCase()
}
