// The kinds of keys that certificates are for here, and how they are made. Reading those of an operator is not part of it.

import { KeyObject, webcrypto } from 'node:crypto'

/** ECDSA on P-256, or RSA. */
export type KeyType = 'ecdsa' | 'rsa'

/** Of a certificate that is signed here: the fewest bits that clients take, for what ends within days. */
export const RSA_SERVER_BITS = 2_048
/** Of a root, which may last for ten years (NIST SP 800-57, part 1, table 4: 2,048 bits end with 2030). */
export const RSA_ROOT_BITS = 3_072

export const EC_P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const
export const RSA_SHA256 = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } as const

const PUBLIC_EXPONENT = new Uint8Array([1, 0, 1])

/** Made on a thread of its own. An RSA key takes tenths of a second, at times a whole one. */
export function generateKeyPair(type: KeyType, rsaBits = RSA_SERVER_BITS): Promise<webcrypto.CryptoKeyPair> {
  const algorithm =
    type === 'rsa' ? { ...RSA_SHA256, modulusLength: rsaBits, publicExponent: PUBLIC_EXPONENT } : EC_P256
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
}

/** PKCS#8. */
export function privateKeyPem(key: webcrypto.CryptoKey): string {
  return KeyObject.from(key).export({ type: 'pkcs8', format: 'pem' }).toString()
}

/** What a signature by this key is made with. */
export function signatureAlgorithm({ algorithm }: webcrypto.CryptoKey): {
  readonly name: string
  readonly hash: string
} {
  return { ...algorithm, hash: 'SHA-256' }
}
