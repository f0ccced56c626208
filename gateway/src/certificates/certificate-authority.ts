// The gateway's own certificate authority: made anew, loaded from PEM, and signing server certificates. Which it signs for
// intercepted hosts, and for how long they are kept, stands in leaves.ts.
//
// Rules of every certificate (RFC 5280; Python 3.13 checks them with VERIFY_X509_STRICT): a random positive serial of 16 bytes;
// subject and authority key identifiers; critical key usage and basic constraints; begins 60 days ago, or with its issuer, for
// clocks that are slow; ends no later than its issuer.

import 'reflect-metadata'
import { randomBytes, type webcrypto } from 'node:crypto'
import { isIP } from 'node:net'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  type JsonName,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'
import { assertUsableAuthority, importSigningKey, parseChain } from './authority-source.js'
import {
  generateKeyPair,
  type KeyType,
  privateKeyPem,
  RSA_ROOT_BITS,
  RSA_SHA256,
  signatureAlgorithm,
} from './key-pair.js'

/** A certificate (chain) and its private key, both PEM. */
export interface CertificateAndKey {
  readonly certificatePem: string
  readonly privateKeyPem: string
}

/** Options of a new authority. */
export interface CertificateAuthorityOptions {
  /** Subject. Default `ccr-upstream-gateway CA`. */
  readonly commonName?: string
  /** Days until it ends. Default 365: the bundle of a container is made anew at each start. */
  readonly days?: number
  /** Default `ecdsa`, which signs at a tenth of the cost; `rsa` for clients that cannot verify it. */
  readonly keyType?: KeyType
}

/** Options of a server certificate. */
export interface ServerCertificateOptions {
  /** Validity in hours. Default 24. */
  readonly hours?: number
  /** Default `ecdsa`. */
  readonly keyType?: KeyType
}

const HOUR_MS = 3_600_000
/** A container that is resumed from a snapshot has the snapshot's clock at first; few are kept for two months. */
const BACKDATE_MS = 60 * 24 * HOUR_MS
const SERVER_HOURS = 24
/** The longest common name (RFC 5280, appendix A.1, ub-common-name). */
const MAX_COMMON_NAME = 64

/** Makes a new authority: self-signed, for certificates only. */
export async function createCertificateAuthority(
  options: CertificateAuthorityOptions = {},
): Promise<CertificateAuthority> {
  const { commonName = 'ccr-upstream-gateway CA', days = 365, keyType = 'ecdsa' } = options
  const keys = await generateKeyPair(keyType, RSA_ROOT_BITS)
  const notBefore = new Date(Date.now() - BACKDATE_MS)
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: randomSerial(),
    name: [{ CN: [commonName] }],
    notBefore,
    notAfter: new Date(Date.now() + days * 24 * HOUR_MS),
    keys,
    signingAlgorithm: signatureAlgorithm(keys.privateKey),
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return CertificateAuthority.load({
    certificatePem: pem(certificate),
    privateKeyPem: privateKeyPem(keys.privateKey),
  })
}

/** A server certificate with every one of `names` (host names or addresses), signed by `authority`. */
export async function issueServerCertificate(
  authority: CertificateAuthority,
  names: readonly string[],
  options: ServerCertificateOptions = {},
): Promise<CertificateAndKey> {
  const keys = await generateKeyPair(options.keyType ?? 'ecdsa')
  const { certificatePem } = await authority.sign(names, keys.publicKey, options.hours ?? SERVER_HOURS)
  return { certificatePem, privateKeyPem: privateKeyPem(keys.privateKey) }
}

/** An authority that is ready to sign. Its private key does not leave it, except through `privateKeyPem()`. */
export class CertificateAuthority {
  /** The PEM as loaded: the issuing certificate first. */
  readonly certificatePem: string
  readonly #certificate: X509Certificate
  readonly #chain: readonly X509Certificate[]
  readonly #signingKey: webcrypto.CryptoKey
  readonly #privateKeyPem: string

  private constructor(source: CertificateAndKey, chain: readonly X509Certificate[], signingKey: webcrypto.CryptoKey) {
    this.certificatePem = source.certificatePem
    this.#privateKeyPem = source.privateKeyPem
    this.#chain = chain
    this.#certificate = chain[0] as X509Certificate
    this.#signingKey = signingKey
  }

  /**
   * Loads an authority from PEM.
   * @throws {Error} when it is no authority, has ended, or the key is not its own; the message never quotes the PEM
   */
  static async load(source: CertificateAndKey): Promise<CertificateAuthority> {
    const chain = parseChain(source.certificatePem)
    assertUsableAuthority(chain[0] as X509Certificate)
    const signingKey = await importSigningKey(source.privateKeyPem, chain[0] as X509Certificate)
    return new CertificateAuthority(source, chain, signingKey)
  }

  /** The private key as PKCS#8 PEM; to be written to a file of mode 0600 and nowhere else. */
  privateKeyPem(): string {
    return this.#privateKeyPem
  }

  /** Signs a server certificate for `publicKey`; the chain follows in the PEM, without the root. */
  async sign(
    names: readonly string[],
    publicKey: webcrypto.CryptoKey,
    hours: number,
  ): Promise<{ certificatePem: string; notAfter: Date }> {
    const { notBefore, notAfter } = this.#validity(hours)
    const certificate = await X509CertificateGenerator.create({
      serialNumber: randomSerial(),
      issuer: this.#certificate.subjectName,
      subject: subjectOf(names),
      notBefore,
      notAfter,
      publicKey,
      signingKey: this.#signingKey,
      signingAlgorithm: signatureAlgorithm(this.#signingKey),
      extensions: await this.#leafExtensions(names, publicKey),
    })
    const intermediates = this.#chain.filter((link) => link.issuer !== link.subject)
    return { certificatePem: [certificate, ...intermediates].map(pem).join(''), notAfter }
  }

  #validity(hours: number): { notBefore: Date; notAfter: Date } {
    const issuer = this.#certificate
    return {
      notBefore: new Date(Math.max(Date.now() - BACKDATE_MS, issuer.notBefore.getTime())),
      notAfter: new Date(Math.min(Date.now() + hours * HOUR_MS, issuer.notAfter.getTime())),
    }
  }

  async #leafExtensions(names: readonly string[], publicKey: webcrypto.CryptoKey): Promise<Extension[]> {
    const issuerKeyId = this.#certificate.getExtension(SubjectKeyIdentifierExtension)
    return [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(leafUsages(publicKey), true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(
        names.map((name) => ({ type: isIP(name) === 0 ? ('dns' as const) : ('ip' as const), value: name })),
      ),
      await SubjectKeyIdentifierExtension.create(publicKey),
      new AuthorityKeyIdentifierExtension((issuerKeyId as SubjectKeyIdentifierExtension).keyId),
    ]
  }
}

/** A common name is for people; it is left out where the field is too short for it. */
function subjectOf(names: readonly string[]): JsonName {
  const [first = ''] = names
  const organization = { O: ['ccr-upstream-gateway'] }
  return first.length <= MAX_COMMON_NAME ? [organization, { CN: [first] }] : [organization]
}

/** TLS 1.2 without a Diffie-Hellman exchange encrypts to an RSA key (RFC 5246, section 7.4.2). */
function leafUsages({ algorithm }: webcrypto.CryptoKey): number {
  const isRsa = algorithm.name === RSA_SHA256.name
  return isRsa ? KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment : KeyUsageFlags.digitalSignature
}

function pem(certificate: X509Certificate): string {
  return `${certificate.toString('pem')}\n`
}

/** 16 random bytes, positive and without a leading zero (RFC 5280, section 4.1.2.2). */
function randomSerial(): string {
  const serial = randomBytes(16)
  serial[0] = ((serial[0] as number) & 0x7f) | 0x40
  return serial.toString('hex')
}
