// A Java trust store without a JDK: the JKS format of Sun's key store, which every JDK from 8 on reads. Who needs it: every
// Java program, for Java reads no PEM bundle, and putting one under /etc/ssl/certs changes nothing for it.
//
//   0xFEEDFEED · version 2 · count · { tag 2 · alias · date · "X.509" · length · DER }… · SHA-1 digest
//
// Numbers are big-endian; a text is its length in two bytes and modified UTF-8, which for ASCII is ASCII. The digest keeps
// accidents apart and nothing more: its key is the public password. There is no secret in a trust store.

import { createHash } from 'node:crypto'
import { type Certificate, derOfCertificates } from '../../certificates/pem.js'

/** What every JDK's own cacerts has. Java refuses a store whose password it was not told, however public. */
export const JAVA_TRUST_STORE_PASSWORD = 'changeit'

const MAGIC = 0xfeedfeed
const VERSION = 2
const TRUSTED_CERTIFICATE = 2
/** Sun's own salt, part of the format. */
const DIGEST_SALT = 'Mighty Aphrodite'

/** The certificates, each once, as a JKS file; the same bytes for the same certificates. */
export function encodeJavaTrustStore(certificates: Iterable<Certificate>): Buffer {
  const entries = derOfCertificates(certificates).map(encodeEntry)
  const body = Buffer.concat([uint32(MAGIC), uint32(VERSION), uint32(entries.length), ...entries])
  return Buffer.concat([body, keyedDigest(body)])
}

/** The alias is the fingerprint: unique, and the same in every store. Nobody asks for the date. */
function encodeEntry(der: Buffer): Buffer {
  const alias = createHash('sha256').update(der).digest('hex')
  const date = Buffer.alloc(8)
  return Buffer.concat([uint32(TRUSTED_CERTIFICATE), text(alias), date, text('X.509'), uint32(der.length), der])
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
