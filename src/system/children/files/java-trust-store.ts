// A Java trust store without a JDK: the JKS format of Sun's key store, which every JDK from 8 on reads. Who needs it: every
// Java program, for Java reads no PEM bundle, and putting one under /etc/ssl/certs changes nothing for it.
//
//   0xFEEDFEED · version 2 · count · { tag 2 · alias · date · "X.509" · length · DER }… · SHA-1 digest
//
// Numbers are big-endian; a text is its length in two bytes and modified UTF-8, which for ASCII is ASCII. The digest keeps
// accidents apart and nothing more: its key is the public password. There is no secret in a trust store.

import { createHash, type X509Certificate } from 'node:crypto'

/** What every JDK's own cacerts has. Java refuses a store whose password it was not told, however public. */
export const JAVA_TRUST_STORE_PASSWORD = 'changeit'

const MAGIC = 0xfeedfeed
const VERSION = 2
const TRUSTED_CERTIFICATE = 2
/** Sun's own salt, part of the format. */
const DIGEST_SALT = 'Mighty Aphrodite'

/** The certificates, each once, as a JKS file; the same bytes for the same certificates. */
export function encodeJavaTrustStore(certificates: readonly X509Certificate[]): Buffer {
  const distinct = new Map(certificates.map((certificate) => [certificate.fingerprint256, certificate]))
  const entries = Array.from(distinct.values(), encodeEntry)
  const body = Buffer.concat([uint32(MAGIC), uint32(VERSION), uint32(entries.length), ...entries])
  return Buffer.concat([body, keyedDigest(body)])
}

/** The alias is the fingerprint: unique, and the same in every store. The date says since when the certificate is valid. */
function encodeEntry(certificate: X509Certificate): Buffer {
  const alias = certificate.fingerprint256.replaceAll(':', '').toLowerCase()
  const createdAt = Buffer.alloc(8)
  createdAt.writeBigInt64BE(BigInt(Date.parse(certificate.validFrom) || 0))
  const der = certificate.raw
  return Buffer.concat([uint32(TRUSTED_CERTIFICATE), text(alias), createdAt, text('X.509'), uint32(der.length), der])
}

function keyedDigest(body: Buffer): Buffer {
  const password = Buffer.from(JAVA_TRUST_STORE_PASSWORD, 'utf16le').swap16()
  return createHash('sha1').update(password).update(DIGEST_SALT).update(body).digest()
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function text(ascii: string): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(ascii.length)
  return Buffer.concat([length, Buffer.from(ascii, 'latin1')])
}
