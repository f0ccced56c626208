// What a TLS server needs of the certificates that were minted for a host.

import { constants } from 'node:crypto'
import { createSecureContext, DEFAULT_CIPHERS, type SecureContext } from 'node:tls'
import type { CertificateAndKey } from './certificate-authority.js'
import { once } from './once.js'

/** ECDSA for whoever has it: a signature with the RSA key takes ten times as long, and many clients name RSA first. */
const CIPHERS = `aECDSA+AESGCM:aECDSA+CHACHA20:${DEFAULT_CIPHERS}`

/** What one host shows: a certificate for the ECDSA key. */
export interface Leaf extends CertificateAndKey {
  readonly notAfter: Date
  /** The certificate for the RSA key, minted now. */
  readonly mintRsa: () => Promise<CertificateAndKey>
}

/** TLS settings for one host. */
export interface HostContexts {
  /** With the ECDSA certificate alone. */
  readonly ecdsa: SecureContext
  /** With the RSA certificate too, which is minted at the first call. */
  readonly either: () => Promise<SecureContext>
}

/** The TLS settings for each leaf, made once: that costs more than the handshake itself. */
export class LeafContexts {
  readonly #contexts = new WeakMap<Leaf, HostContexts>()

  of(leaf: Leaf): HostContexts {
    const known = this.#contexts.get(leaf)
    if (known !== undefined) return known
    const contexts = { ecdsa: contextOf(leaf), either: once(async () => contextOf(leaf, await leaf.mintRsa())) }
    this.#contexts.set(leaf, contexts)
    return contexts
  }
}

function contextOf(...certificates: readonly CertificateAndKey[]): SecureContext {
  return createSecureContext({
    cert: certificates.map(({ certificatePem }) => certificatePem),
    key: certificates.map(({ privateKeyPem }) => privateKeyPem),
    minVersion: 'TLSv1.2',
    ciphers: CIPHERS,
    // The order is ours. And a resumed session would not pass through the check of the server name.
    secureOptions: constants.SSL_OP_CIPHER_SERVER_PREFERENCE | constants.SSL_OP_NO_TICKET,
  })
}
