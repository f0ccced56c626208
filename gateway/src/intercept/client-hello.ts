// What a TLS client says of the certificates that it can use, read from its ClientHello (RFC 8446, section 4.1.2; RFC 5246,
// section 7.4.1.2) before TLS begins: node:tls does not report which cipher suites a client named. Nothing is refused here.

import type { Duplex } from 'node:stream'
import type { Guard } from '../guard.js'

/** A ClientHello of a browser with a post-quantum key share has 2 KB. */
const MAX_BYTES = 16_384
const RECORD_HEAD = 5
const NOTHING = Buffer.alloc(0)
const HANDSHAKE_RECORD = 22
const CLIENT_HELLO = 1
/** Version and random. */
const FIXED_BYTES = 34
const EXTENSION_GROUPS = 10
const EXTENSION_SIGNATURES = 13
const EXTENSION_VERSIONS = 43
const TLS_1_3 = 0x0304
const ECDSA_P256_SHA256 = 0x0403
const GROUP_P256 = 0x0017
/** ECDHE_ECDSA with AES-GCM (RFC 5289) or ChaCha20 (RFC 7905). */
const ECDSA_SUITES: ReadonlySet<number> = new Set([0xc02b, 0xc02c, 0xcca9])

/** `either`: ECDSA is at best one of those that it can use. */
export type CertificateKind = 'ecdsa' | 'either'

/** The kind of certificate that the client can use; its bytes stay in the stream. Without an answer where it ends before. */
export function awaitCertificateKind(stream: Duplex, guard: Guard): Promise<CertificateKind> {
  return new Promise((resolve) => {
    const pieces: Buffer[] = []
    const stopAwaitingEnd = guard.on(stream, 'end', () => stream.destroy())
    const stopReading = guard.on(stream, 'data', (piece: Buffer) => {
      pieces.push(piece)
      const bytes = Buffer.concat(pieces)
      const kind = usableCertificate(bytes)
      if (kind === undefined) return
      stopReading()
      stopAwaitingEnd()
      stream.pause()
      stream.unshift(bytes)
      resolve(kind)
    })
    stream.resume()
  })
}

/**
 * The kind of certificate that the client can use, as far as its first bytes say.
 * @returns undefined when there is more to come. What is no ClientHello is `ecdsa`: the handshake says what is wrong with it.
 */
export function usableCertificate(bytes: Buffer): CertificateKind | undefined {
  const message = handshakeBytes(bytes)
  if (message === undefined || (message.length >= 1 && message[0] !== CLIENT_HELLO)) return 'ecdsa'
  const isWhole = message.length >= 4 && message.length >= 4 + message.readUIntBE(1, 3)
  if (!isWhole) return bytes.length < MAX_BYTES ? undefined : 'ecdsa'
  try {
    return knowsEcdsa(message.subarray(4, 4 + message.readUIntBE(1, 3))) ? 'ecdsa' : 'either'
  } catch (error) {
    if (error instanceof RangeError) return 'ecdsa'
    throw error
  }
}

/** What the records hold that have come so far; a handshake message may go over several. undefined for other bytes. */
function handshakeBytes(bytes: Buffer): Buffer | undefined {
  const fragments: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    if (bytes[at] !== HANDSHAKE_RECORD) return fragments.length === 0 ? undefined : Buffer.concat(fragments)
    if (at + RECORD_HEAD > bytes.length) break
    const end = at + RECORD_HEAD + bytes.readUInt16BE(at + 3)
    fragments.push(bytes.subarray(at + RECORD_HEAD, end))
    at = end
  }
  return Buffer.concat(fragments)
}

function knowsEcdsa(hello: Buffer): boolean {
  let at = FIXED_BYTES
  at += 1 + hello.readUInt8(at)
  const suites = numbersOf(hello.subarray(at + 2, at + 2 + hello.readUInt16BE(at)))
  at += 2 + hello.readUInt16BE(at)
  at += 1 + hello.readUInt8(at)
  const extensions = new Map<number, Buffer>()
  for (at += 2; at < hello.length; at += 4 + hello.readUInt16BE(at + 2)) {
    extensions.set(hello.readUInt16BE(at), hello.subarray(at + 4, at + 4 + hello.readUInt16BE(at + 2)))
  }
  // Before its numbers such a list has its length in bytes, in one byte or two.
  const listOf = (extension: number, head: number) => numbersOf((extensions.get(extension) ?? NOTHING).subarray(head))
  if (!listOf(EXTENSION_SIGNATURES, 2).includes(ECDSA_P256_SHA256)) return false
  // From version 1.3 on the curve is the signature's and the suite says nothing of either.
  if (listOf(EXTENSION_VERSIONS, 1).includes(TLS_1_3)) return true
  return suites.some((suite) => ECDSA_SUITES.has(suite)) && listOf(EXTENSION_GROUPS, 2).includes(GROUP_P256)
}

function numbersOf(bytes: Buffer): number[] {
  return Array.from({ length: bytes.length >> 1 }, (_, index) => bytes.readUInt16BE(2 * index))
}
