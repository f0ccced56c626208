// The gateway's own certificate authority: made anew, loaded from PEM, and signing server certificates on demand.
//
// Rules of every certificate (RFC 5280; Python 3.13 checks them with VERIFY_X509_STRICT):
// - ECDSA P-256; a random positive serial of 16 bytes; subject and authority key identifiers; critical key usage and
//   basic constraints; begins 60 days ago, or with its issuer, for clocks that are slow.
// - One interception certificate names exactly one host, in its subject alternative name, and lives for 24 hours or
//   until its issuer ends. For clients that know no ECDSA there is a second one, for an RSA key, made when one of them comes.

import 'reflect-metadata'
import { randomBytes, webcrypto } from 'node:crypto'
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
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'
import { assertUsableAuthority, EC_P256, importSigningKey, parseChain } from './authority-source.js'
import { once } from './once.js'

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
}

/** Options of a server certificate. */
export interface ServerCertificateOptions {
  /** Validity in hours. Default 24. */
  readonly hours?: number
}

const HOUR_MS = 3_600_000
/** A container that is resumed from a snapshot has the snapshot's clock at first; few are kept for two months. */
const BACKDATE_MS = 60 * 24 * HOUR_MS
const LEAF_HOURS = 24
/** A cached certificate is minted anew when less than this is left, so that no handshake gets one about to end. */
const RENEW_BEFORE_MS = HOUR_MS
/** Names kept, with both certificates and the TLS settings of each; more names than this in use at once is not a session, but a scan. */
const MAX_CACHED_LEAVES = 1_000
/** The longest common name (RFC 5280, appendix A.1, ub-common-name). */
const MAX_COMMON_NAME = 64
const RSA_2048 = {
  name: 'RSASSA-PKCS1-v1_5',
  modulusLength: 2_048,
  publicExponent: new Uint8Array([1, 0, 1]),
  hash: 'SHA-256',
}
const ECDSA_SHA256 = { name: 'ECDSA', hash: 'SHA-256' } as const

/** Makes a new authority: self-signed, for certificates only. */
export async function createCertificateAuthority(
  options: CertificateAuthorityOptions = {},
): Promise<CertificateAuthority> {
  const { commonName = 'ccr-upstream-gateway CA', days = 365 } = options
  const keys = await generateKeys()
  const notBefore = new Date(Date.now() - BACKDATE_MS)
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: randomSerial(),
    name: [{ CN: [commonName] }],
    notBefore,
    notAfter: new Date(Date.now() + days * 24 * HOUR_MS),
    keys,
    signingAlgorithm: ECDSA_SHA256,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return CertificateAuthority.load({
    certificatePem: pem(certificate),
    privateKeyPem: await privateKeyPem(keys.privateKey),
  })
}

/** A server certificate with every one of `names` (host names or addresses), signed by `authority`. */
export async function issueServerCertificate(
  authority: CertificateAuthority,
  names: readonly string[],
  options: ServerCertificateOptions = {},
): Promise<CertificateAndKey> {
  const keys = await generateKeys()
  const { certificatePem } = await authority.sign(names, keys.publicKey, options.hours ?? LEAF_HOURS)
  return { certificatePem, privateKeyPem: await privateKeyPem(keys.privateKey) }
}

/** What one host shows: a certificate for the ECDSA key. */
export interface Leaf extends CertificateAndKey {
  readonly notAfter: Date
  /** The certificate for the RSA key, minted now. */
  readonly mintRsa: () => Promise<CertificateAndKey>
}

interface LeafKey {
  readonly publicKey: webcrypto.CryptoKey
  readonly privateKeyPem: string
}

/** An authority that is ready to sign. Its private key does not leave it, except through `privateKeyPem()`. */
export class CertificateAuthority {
  /** The PEM as loaded: the issuing certificate first. */
  readonly certificatePem: string
  readonly #certificate: X509Certificate
  readonly #chain: readonly X509Certificate[]
  readonly #signingKey: webcrypto.CryptoKey
  readonly #privateKeyPem: string
  /**
   * One key of either kind for all leaves: they live in the same memory and end at the same time, and a key for each name buys
   * nothing. An RSA key takes a quarter of a second, and few clients want one.
   */
  readonly #ecdsaKey = once(() => leafKey(generateKeys()))
  readonly #rsaKey = once(() => leafKey(webcrypto.subtle.generateKey(RSA_2048, true, ['sign', 'verify'])))
  /** Least recently used first; a promise, so that requests for one name at the same time are one minting. */
  readonly #leaves = new Map<string, Promise<Leaf>>()

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

  /**
   * The certificate for one intercepted host, from the cache or minted now.
   * @param mintBy does the minting, or throws what refuses it
   */
  leafFor(host: string, mintBy: (mint: () => Promise<Leaf>) => Promise<Leaf> = (mint) => mint()): Promise<Leaf> {
    return (
      this.#cachedLeaf(host, mintBy) ??
      this.#remember(
        host,
        mintBy(() => this.#mintLeaf(host)),
      )
    )
  }

  #cachedLeaf(host: string, mintBy: (mint: () => Promise<Leaf>) => Promise<Leaf>): Promise<Leaf> | undefined {
    const cached = this.#leaves.get(host)
    if (cached === undefined) return undefined
    this.#leaves.delete(host)
    this.#leaves.set(host, cached)
    return cached.then((leaf) => {
      if (isFresh(leaf)) return leaf
      this.#leaves.delete(host)
      return this.leafFor(host, mintBy)
    })
  }

  #remember(host: string, minting: Promise<Leaf>): Promise<Leaf> {
    this.#leaves.set(host, minting)
    minting.catch(() => this.#leaves.delete(host))
    if (this.#leaves.size > MAX_CACHED_LEAVES) this.#leaves.delete(this.#leaves.keys().next().value as string)
    return minting
  }

  async #mintLeaf(host: string): Promise<Leaf> {
    const leaf = await this.#mint(host, this.#ecdsaKey())
    return { ...leaf, mintRsa: () => this.#mint(host, this.#rsaKey()) }
  }

  async #mint(host: string, key: Promise<LeafKey>) {
    const { publicKey, privateKeyPem } = await key
    return { ...(await this.sign([host], publicKey, LEAF_HOURS)), privateKeyPem }
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
      signingAlgorithm: { ...this.#signingKey.algorithm, hash: 'SHA-256' } as typeof ECDSA_SHA256,
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

function isFresh(leaf: Leaf): boolean {
  return leaf.notAfter.getTime() - Date.now() > RENEW_BEFORE_MS
}

/** A common name is for people; it is left out where the field is too short for it. */
function subjectOf(names: readonly string[]): JsonName {
  const [first = ''] = names
  const organization = { O: ['ccr-upstream-gateway'] }
  return first.length <= MAX_COMMON_NAME ? [organization, { CN: [first] }] : [organization]
}

/** TLS 1.2 without a Diffie-Hellman exchange encrypts to an RSA key (RFC 5246, section 7.4.2). */
function leafUsages({ algorithm }: webcrypto.CryptoKey): number {
  const isRsa = algorithm.name === RSA_2048.name
  return isRsa ? KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment : KeyUsageFlags.digitalSignature
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(EC_P256, true, ['sign', 'verify'])
}

async function leafKey(pair: Promise<webcrypto.CryptoKeyPair>): Promise<LeafKey> {
  const { publicKey, privateKey } = await pair
  return { publicKey, privateKeyPem: await privateKeyPem(privateKey) }
}

async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey('pkcs8', key)
  return `${PemConverter.encode(der, PemConverter.PrivateKeyTag)}\n`
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
