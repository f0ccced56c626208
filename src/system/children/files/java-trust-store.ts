// A Java trust store without a JDK: the JKS format of Sun's key store, which every JDK from 8 on reads. Who needs it: every
// Java program, for Java reads no PEM bundle, and putting one under /etc/ssl/certs changes nothing for it.
//
//   0xFEEDFEED · version 2 · count · { tag 2 · alias · date · "X.509" · length · DER }… · SHA-1 digest
//
// Numbers are big-endian; a text is its length in two bytes and modified UTF-8, which for ASCII is ASCII. The digest keeps
// accidents apart and nothing more: its key is the public password. There is no secret in a trust store.

import { createHash } from 'node:crypto'
import { type Certificate, derOfCertificates } from '../../certificates/pem.js'
import type { Folder } from '../../private-directory.js'
import { JAVA_TRUST_STORE_PASSWORD } from './java-options.js'

const MAGIC = 0xfeedfeed
const VERSION = 2
const TRUSTED_CERTIFICATE = 2
const CERTIFICATE_TYPE = 'X.509'
const DATE_BYTES = 8
const HEADER_BYTES = 12
/** An entry without its certificate; the alias is a SHA-256 in hexadecimal. */
const ENTRY_BYTES = 4 + (2 + 64) + DATE_BYTES + (2 + CERTIFICATE_TYPE.length) + 4
/** Sun's own salt, part of the format. */
const DIGEST_SALT = 'Mighty Aphrodite'

/**
 * Writes the trust store, at the start and whenever the certificates have changed; returns its path.
 * @throws {UpstreamProxyError} `bundle-unwritable` or `disk-full`
 */
export function writeJavaTrustStore(folder: Folder, certificates: Iterable<Certificate>): string {
  return folder.writeFile('java-trust-store.jks', encodeJavaTrustStore(certificates))
}

/** The certificates, each once, as a JKS file; the same bytes for the same certificates. */
export function encodeJavaTrustStore(certificates: Iterable<Certificate>): Buffer {
  const ders = derOfCertificates(certificates)
  const length = ders.reduce((sum, der) => sum + ENTRY_BYTES + der.length, HEADER_BYTES)
  const body = Buffer.alloc(length)
  body.writeUInt32BE(MAGIC, 0)
  body.writeUInt32BE(VERSION, 4)
  body.writeUInt32BE(ders.length, 8)
  let at = HEADER_BYTES
  for (const der of ders) at = writeEntry(body, at, der)
  return Buffer.concat([body, keyedDigest(body)])
}

/** Returns where the entry ends. The alias is the fingerprint: unique, and the same in every store. Nobody asks for the date. */
function writeEntry(body: Buffer, start: number, der: Buffer): number {
  const alias = createHash('sha256').update(der).digest('hex')
  let at = body.writeUInt32BE(TRUSTED_CERTIFICATE, start)
  at = writeText(body, at, alias) + DATE_BYTES
  at = writeText(body, at, CERTIFICATE_TYPE)
  at = body.writeUInt32BE(der.length, at)
  return at + der.copy(body, at)
}

function keyedDigest(body: Buffer): Buffer {
  const password = Buffer.from(JAVA_TRUST_STORE_PASSWORD, 'utf16le').swap16()
  return createHash('sha1').update(password).update(DIGEST_SALT).update(body).digest()
}

function writeText(body: Buffer, start: number, ascii: string): number {
  const at = body.writeUInt16BE(ascii.length, start)
  return at + body.write(ascii, at, 'latin1')
}
