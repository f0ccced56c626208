// What a TLS server needs of each certificate that was minted.

import { constants } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import type { CertificateAndKey } from './certificate-authority.js'

/** The TLS settings for each leaf, made once: that costs more than the handshake itself. */
export class LeafContexts {
  readonly #contexts = new WeakMap<CertificateAndKey, SecureContext>()

  of(leaf: CertificateAndKey): SecureContext {
    const known = this.#contexts.get(leaf)
    if (known !== undefined) return known
    const context = createSecureContext({
      cert: leaf.certificatePem,
      key: leaf.privateKeyPem,
      minVersion: 'TLSv1.2',
      // A resumed session would not pass through the check of the server name.
      secureOptions: constants.SSL_OP_NO_TICKET,
    })
    this.#contexts.set(leaf, context)
    return context
  }
}
