// The certificates of intercepted hosts: minted when a name is first asked for, then kept. What stands in them is the part of the
// authority that signs them.
//
// Each names exactly one host and lives for 24 hours, or until its issuer ends. For clients that know no ECDSA there is a second one,
// for an RSA key, made when one of them comes.

import type { webcrypto } from 'node:crypto'
import type { CertificateAuthority } from './certificate-authority.js'
import { generateKeyPair, type KeyType, privateKeyPem } from './key-pair.js'
import { type HostContexts, type Leaf, LeafContexts } from './leaf-contexts.js'
import { once } from './once.js'

interface LeafKey {
  readonly publicKey: webcrypto.CryptoKey
  readonly privateKeyPem: string
}

/** Does the minting, or throws what refuses it. */
type MintBy = (mint: () => Promise<Leaf>) => Promise<Leaf>

const HOUR_MS = 3_600_000
const LEAF_HOURS = 24
/** A kept certificate is minted anew when less than this is left, so that no handshake gets one about to end. */
const RENEW_BEFORE_MS = HOUR_MS
/** Names kept, with the TLS settings of each; more names than this in use at once is not a session, but a scan. */
const MAX_LEAVES = 1_000

export class Leaves {
  readonly #authority: CertificateAuthority
  /**
   * One key of either kind for all leaves: they live in the same memory and end at the same time, and a key for each name buys
   * nothing. An RSA key takes a quarter of a second, and few clients want one.
   */
  readonly #ecdsaKey = once(() => generateLeafKey('ecdsa'))
  readonly #rsaKey = once(() => generateLeafKey('rsa'))
  /** Least recently used first; a promise, so that requests for one name at the same time are one minting. */
  readonly #leaves = new Map<string, Promise<Leaf>>()
  readonly #contexts = new LeafContexts()

  constructor(authority: CertificateAuthority) {
    this.#authority = authority
  }

  /** TLS settings for one host. */
  async contextsFor(host: string, mintBy?: MintBy): Promise<HostContexts> {
    return this.#contexts.of(await this.leafFor(host, mintBy))
  }

  /** The certificate for one host, kept or minted now. */
  leafFor(host: string, mintBy: MintBy = (mint) => mint()): Promise<Leaf> {
    return (
      this.#keptLeaf(host, mintBy) ??
      this.#remember(
        host,
        mintBy(() => this.#mintLeaf(host)),
      )
    )
  }

  #keptLeaf(host: string, mintBy: MintBy): Promise<Leaf> | undefined {
    const kept = this.#leaves.get(host)
    if (kept === undefined) return undefined
    this.#leaves.delete(host)
    this.#leaves.set(host, kept)
    return kept.then((leaf) => {
      if (isFresh(leaf)) return leaf
      this.#forget(host, kept)
      return this.leafFor(host, mintBy)
    })
  }

  #remember(host: string, minting: Promise<Leaf>): Promise<Leaf> {
    this.#leaves.set(host, minting)
    minting.catch(() => this.#forget(host, minting))
    if (this.#leaves.size > MAX_LEAVES) this.#leaves.delete(this.#leaves.keys().next().value as string)
    return minting
  }

  /** Unless another has taken its place meanwhile. */
  #forget(host: string, leaf: Promise<Leaf>): void {
    if (this.#leaves.get(host) === leaf) this.#leaves.delete(host)
  }

  async #mintLeaf(host: string): Promise<Leaf> {
    const leaf = await this.#mint(host, this.#ecdsaKey())
    return { ...leaf, mintRsa: () => this.#mint(host, this.#rsaKey()) }
  }

  async #mint(host: string, key: Promise<LeafKey>) {
    const { publicKey, privateKeyPem } = await key
    return { ...(await this.#authority.sign([host], publicKey, LEAF_HOURS)), privateKeyPem }
  }
}

function isFresh(leaf: Leaf): boolean {
  return leaf.notAfter.getTime() - Date.now() > RENEW_BEFORE_MS
}

async function generateLeafKey(type: KeyType): Promise<LeafKey> {
  const { publicKey, privateKey } = await generateKeyPair(type)
  return { publicKey, privateKeyPem: privateKeyPem(privateKey) }
}
