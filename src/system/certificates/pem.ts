// Certificates in PEM form (RFC 7468): taken apart, parsed one by one, and written back clean. One block that does not
// parse would break every OpenSSL and GnuTLS client of the bundle.

import { X509Certificate } from 'node:crypto'
import { rootCertificates } from 'node:tls'

/** A certificate, or its PEM text as X509Certificate's toString() writes it. */
export type Certificate = X509Certificate | string

/** The certificates of a PEM text, and how many blocks were none. */
export interface ParsedCertificates<Form extends Certificate = X509Certificate> {
  readonly certificates: readonly Form[]
  readonly broken: number
}

const BEGIN = '-----BEGIN CERTIFICATE-----'
const END = '-----END CERTIFICATE-----'
/** With the label of RFC 7468, or the older one that OpenSSL takes as well. */
const CERTIFICATE_BLOCK = /-----BEGIN (X509 |)CERTIFICATE-----([\s\S]*?)-----END \1CERTIFICATE-----/g

/** Everything between BEGIN CERTIFICATE and END CERTIFICATE; other blocks and comments are passed over. */
export function parseCertificates(pem: string): ParsedCertificates {
  return takeBlocks(pem, (block) => new X509Certificate(block))
}

/**
 * As parseCertificates(), for the text alone. Most of a system's bundle is in the runtime's own roots as well: that those
 * are certificates is known, and OpenSSL takes 0.1 ms to parse one.
 */
export function checkCertificates(pem: string): ParsedCertificates<string> {
  const known = new Set(rootCertificates.map(base64Of))
  return takeBlocks(pem, (block) => {
    const base64 = base64Of(block)
    return known.has(base64) ? formatBase64(base64) : new X509Certificate(block).toString()
  })
}

function takeBlocks<Form extends Certificate>(pem: string, parse: (block: string) => Form): ParsedCertificates<Form> {
  const certificates: Form[] = []
  let broken = 0
  for (const [, , body] of pem.matchAll(CERTIFICATE_BLOCK)) {
    try {
      certificates.push(parse(`${BEGIN}${body}${END}`))
    } catch {
      broken++
    }
  }
  return { certificates, broken }
}

/** The certificates as PEM, each once, in order. */
export function formatCertificates(certificates: Iterable<Certificate>): string {
  return [...distinctTexts(certificates)].join('')
}

/** The certificates as DER (X.690), each once, in order. */
export function derOfCertificates(certificates: Iterable<Certificate>): readonly Buffer[] {
  return Array.from(distinctTexts(certificates), (text) => Buffer.from(base64Of(text), 'base64'))
}

function distinctTexts(certificates: Iterable<Certificate>): ReadonlySet<string> {
  return new Set(Array.from(certificates, String))
}

function base64Of(block: string): string {
  return block.slice(BEGIN.length, block.indexOf(END)).replaceAll('\n', '')
}

/** In lines of 64 characters (RFC 7468, section 2). */
function formatBase64(base64: string): string {
  return [BEGIN, ...(base64.match(/.{1,64}/g) ?? []), END, ''].join('\n')
}

/** SHA-256 of a certificate, lower-case hexadecimal. */
export function hashOfCertificate({ fingerprint256 }: X509Certificate): string {
  return fingerprint256.replaceAll(':', '').toLowerCase()
}
