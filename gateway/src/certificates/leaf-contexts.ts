// What a TLS server needs of the certificates that were minted for a host.

import { constants } from 'node:crypto'
import { createSecureContext, DEFAULT_CIPHERS, type SecureContext } from 'node:tls'
import type { Leaf } from './certificate-authority.js'

/** ECDSA for whoever has it: a signature with the RSA key takes ten times as long, and many clients name RSA first. */
const CIPHERS = `aECDSA+AESGCM:aECDSA+CHACHA20:${DEFAULT_CIPHERS}`

/** The TLS settings for each leaf, made once: that costs more than the handshake itself. */
export class LeafContexts {
  readonly #contexts = new WeakMap<Leaf, SecureContext>()

  of(leaf: Leaf): SecureContext {
    const known = this.#contexts.get(leaf)
    if (known !== undefined) return known
    const context = createSecureContext({
      cert: [leaf.certificatePem, leaf.rsa.certificatePem],
      key: [leaf.privateKeyPem, leaf.rsa.privateKeyPem],
      minVersion: 'TLSv1.2',
      ciphers: CIPHERS,
      // The order is ours. And a resumed session would not pass through the check of the server name.
      secureOptions: constants.SSL_OP_CIPHER_SERVER_PREFERENCE | constants.SSL_OP_NO_TICKET,
    })
    this.#contexts.set(leaf, context)
    return context
  }
}
