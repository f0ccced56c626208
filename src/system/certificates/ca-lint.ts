// What a CA certificate should be, so that every client accepts what it signs: Python from 3.13 on verifies with
// X509_V_FLAG_X509_STRICT and rejects what others let pass, and old keys are refused by some distributions.

import type { X509Certificate } from 'node:crypto'
import { type Extension, elements, readExtensions } from './der.js'

const SUBJECT_KEY_IDENTIFIER = '2.5.29.14'
const KEY_USAGE = '2.5.29.15'
const BASIC_CONSTRAINTS = '2.5.29.19'
const AUTHORITY_KEY_IDENTIFIER = '2.5.29.35'
/** keyCertSign is bit 5 of the first byte (RFC 5280, section 4.2.1.3). */
const KEY_CERT_SIGN = 0x04

const DAY_MS = 86_400_000
const LEAST_RSA_BITS = 2_048
const LEAST_EC_BITS = 256

/** What is wrong with a CA certificate that can be used all the same, and who minds; empty when nothing is. */
export function lintCaCertificate(certificate: X509Certificate, now: Date): readonly string[] {
  const extensions = new Map(readExtensions(certificate.raw).map((extension) => [extension.id, extension]))
  return [
    lintBasicConstraints(extensions.get(BASIC_CONSTRAINTS)),
    lintKeyUsage(extensions.get(KEY_USAGE)),
    extensions.has(SUBJECT_KEY_IDENTIFIER) ? undefined : 'it has no subject key identifier: Python 3.13 rejects it',
    lintAuthorityKey(certificate, extensions.has(AUTHORITY_KEY_IDENTIFIER)),
    lintKey(certificate),
    lintDates(certificate, now),
  ].filter((finding) => finding !== undefined)
}

function lintBasicConstraints(extension: Extension | undefined): string | undefined {
  if (extension?.isCritical === true) return undefined
  return 'its basic constraints are not critical: Python 3.13 rejects it'
}

function lintKeyUsage(extension: Extension | undefined): string | undefined {
  if (extension === undefined) return 'it has no key usage: Python 3.13 rejects it'
  // A BIT STRING: how many bits of the last byte do not count, then the bits.
  const bits = elements(extension.value)[0]?.content[1] ?? 0
  return (bits & KEY_CERT_SIGN) === 0
    ? 'its key usage does not allow it to sign certificates: all reject it'
    : undefined
}

/** A root may be without (RFC 5280, section 4.2.1.1). */
function lintAuthorityKey({ subject, issuer }: X509Certificate, hasIt: boolean): string | undefined {
  return hasIt || subject === issuer ? undefined : 'it has no authority key identifier: Python 3.13 rejects it'
}

function lintKey({ publicKey }: X509Certificate): string | undefined {
  const { modulusLength, namedCurve } = publicKey.asymmetricKeyDetails ?? {}
  if (modulusLength !== undefined && modulusLength < LEAST_RSA_BITS)
    return `its RSA key has ${modulusLength} bits: Debian and Red Hat reject less than ${LEAST_RSA_BITS}`
  const curveBits = Number(/[0-9]{3}/.exec(namedCurve ?? '')?.[0] ?? LEAST_EC_BITS)
  return curveBits < LEAST_EC_BITS ? `its key is on ${namedCurve}: it is too short for most clients` : undefined
}

function lintDates({ validFrom, validTo }: X509Certificate, now: Date): string | undefined {
  if (now < new Date(validFrom)) return `it is not valid before ${validFrom}: check the clocks`
  const leftMs = Date.parse(validTo) - now.getTime()
  return leftMs < DAY_MS ? `it expires on ${validTo}` : undefined
}
