// Certificates for tests, made with the gateway's own CA functions: a root, and server certificates under it.

import {
  type CertificateAuthorityOptions,
  createCertificateAuthority,
  issueServerCertificate,
} from 'ccr-upstream-gateway/certificate-authority'

/** A server's certificate and key, as node:tls takes them. */
export interface TestCertificate {
  readonly cert: string
  readonly key: string
}

/** A root that only the test trusts. */
export interface TestCa {
  /** The root certificate, PEM. */
  readonly rootPem: string
  /** The root's key, PEM. */
  readonly rootKeyPem: string
  /** A server certificate for host names or addresses. */
  serverCertificate(...names: string[]): Promise<TestCertificate>
  /** One with an RSA key. */
  rsaCertificate(name: string): Promise<TestCertificate>
}

/** Makes a new root. `commonName` shows up as the issuer of what it signs. */
export async function createTestCa(
  commonName = 'test root',
  options: Omit<CertificateAuthorityOptions, 'commonName'> = {},
): Promise<TestCa> {
  const authority = await createCertificateAuthority({ commonName, days: 2, ...options })
  return {
    rootPem: authority.certificatePem,
    rootKeyPem: authority.privateKeyPem(),
    async serverCertificate(...names) {
      const { certificatePem, privateKeyPem } = await issueServerCertificate(authority, names)
      return { cert: certificatePem, key: privateKeyPem }
    },
    async rsaCertificate(name) {
      const { certificatePem, privateKeyPem } = await issueServerCertificate(authority, [name], { keyType: 'rsa' })
      return { cert: certificatePem, key: privateKeyPem }
    },
  }
}
