// An authority as its operator has it, in PEM: read, and proved to be one. No message quotes the PEM.

import 'reflect-metadata'
import { createPrivateKey, randomBytes, webcrypto } from 'node:crypto'
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectKeyIdentifierExtension,
  X509Certificate,
} from '@peculiar/x509'
import { EC_P256, RSA_SHA256 } from './key-pair.js'

export function parseChain(certificatePem: string): X509Certificate[] {
  try {
    const chain = PemConverter.decodeWithHeaders(certificatePem)
      .filter(({ type }) => type === PemConverter.CertificateTag)
      .map(({ rawData }) => new X509Certificate(rawData))
    if (chain.length > 0) return chain
  } catch {
    // The library's message may quote the input.
  }
  throw new Error('holds no PEM certificate')
}

export function assertUsableAuthority(certificate: X509Certificate): void {
  const usages = certificate.getExtension(KeyUsagesExtension)?.usages
  if (certificate.getExtension(BasicConstraintsExtension)?.ca !== true) {
    throw new Error('is no certificate authority (basicConstraints has no CA:TRUE)')
  }
  if (usages !== undefined && (usages & KeyUsageFlags.keyCertSign) === 0) {
    throw new Error('may not sign certificates (keyUsage has no keyCertSign)')
  }
  if (certificate.getExtension(SubjectKeyIdentifierExtension) === null) {
    throw new Error('has no subject key identifier, which strict clients need')
  }
  if (certificate.notAfter.getTime() <= Date.now()) throw new Error('has expired')
}

/** Takes PKCS#8, SEC1 and PKCS#1 PEM, and proves that the key is the certificate's. */
export async function importSigningKey(keyPem: string, certificate: X509Certificate): Promise<webcrypto.CryptoKey> {
  const key = parsePrivateKey(keyPem)
  const algorithm = signingAlgorithm(key.asymmetricKeyType, key.asymmetricKeyDetails?.namedCurve)
  const der = key.export({ type: 'pkcs8', format: 'der' })
  const signingKey = await webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign'])
  const publicKey = await certificate.publicKey.export(algorithm, ['verify'])
  const probe = randomBytes(32)
  const scheme = { ...algorithm, hash: 'SHA-256' }
  const signature = await webcrypto.subtle.sign(scheme, signingKey, probe)
  const isOwn = await webcrypto.subtle.verify(scheme, publicKey, signature, probe).catch(() => false)
  if (!isOwn) throw new Error('does not belong to the private key')
  return signingKey
}

function parsePrivateKey(keyPem: string): ReturnType<typeof createPrivateKey> {
  try {
    return createPrivateKey(keyPem)
  } catch {
    throw new Error('has no readable private key (PEM, without a passphrase)')
  }
}

function signingAlgorithm(type: string | undefined, curve: string | undefined) {
  if (type === 'rsa') return RSA_SHA256
  if (type === 'ec' && curve === 'prime256v1') return EC_P256
  if (type === 'ec' && curve === 'secp384r1') return { name: 'ECDSA', namedCurve: 'P-384' }
  throw new Error('has a key of another kind than RSA, P-256 or P-384')
}
