// What a ClientHello says of certificates, in those that Node's own TLS sends.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Duplex, PassThrough } from 'node:stream'
import { test } from 'node:test'
import { type ConnectionOptions, connect } from 'node:tls'
import { createCertificateAuthority } from 'ccr-upstream-gateway'
import fc from 'fast-check'
import { LeafContexts } from '#gateway/certificates/leaf-contexts.js'
import { Leaves } from '#gateway/certificates/leaves.js'
import { usableCertificate } from '#gateway/intercept/client-hello.js'
import '../support/watched-process.js'

/** What a client with these options sends first. */
async function helloOf(options: ConnectionOptions = {}): Promise<Buffer> {
  const wire = new PassThrough()
  const sent = once(wire, 'data')
  const socket = connect({ socket: Duplex.from({ writable: wire }), servername: 'api.example.com', ...options })
  socket.on('error', () => {})
  const [bytes] = await sent
  socket.destroy()
  return bytes
}

/** In as many TLS records as that takes. */
function inRecords(hello: Buffer, size: number): Buffer {
  const records: Buffer[] = []
  for (let at = 5; at < hello.length; at += size) {
    const fragment = hello.subarray(at, at + size)
    records.push(Buffer.from([22, 3, 1, fragment.length >> 8, fragment.length & 0xff]), fragment)
  }
  return Buffer.concat(records)
}

const TLS_1_2: ConnectionOptions = { maxVersion: 'TLSv1.2' }
const CLIENTS: readonly (readonly [string, ConnectionOptions, 'ecdsa' | 'either'])[] = [
  ['of today', {}, 'ecdsa'],
  ['of TLS 1.3 alone', { minVersion: 'TLSv1.3' }, 'ecdsa'],
  ['of TLS 1.2', TLS_1_2, 'ecdsa'],
  ['that names RSA first', { sigalgs: 'rsa_pss_rsae_sha256:ecdsa_secp256r1_sha256' }, 'ecdsa'],
  ['without ECDSA signatures', { sigalgs: 'rsa_pss_rsae_sha256' }, 'either'],
  ['of TLS 1.2 without ECDSA signatures', { ...TLS_1_2, sigalgs: 'rsa_pkcs1_sha256' }, 'either'],
  ['of TLS 1.2 with RSA suites alone', { ...TLS_1_2, ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' }, 'either'],
  ['of TLS 1.2 with the suites of other curves', { ...TLS_1_2, ecdhCurve: 'secp384r1' }, 'either'],
]

for (const [title, options, kind] of CLIENTS) {
  test(`a client ${title}: ${kind}, and no sooner than the whole of it is there`, async () => {
    const hello = await helloOf(options)
    for (let length = 0; length < hello.length; length++) {
      assert.equal(usableCertificate(hello.subarray(0, length)), undefined, `${length} of ${hello.length} bytes`)
    }
    for (const bytes of [hello, Buffer.concat([hello, hello]), inRecords(hello, 7)]) {
      assert.equal(usableCertificate(bytes), kind)
    }
  })
}

test('what is no ClientHello goes on to the handshake, and so does one that is too long', () => {
  for (const text of ['GET / HTTP/1.1', '\u0016\u0003\u0001\u0000\u0004\u0002\u0000\u0000\u0000', 'a']) {
    assert.equal(usableCertificate(Buffer.from(text, 'latin1')), 'ecdsa')
  }
  const endless = Buffer.concat([Buffer.from([22, 3, 1, 0xff, 0xff, 1, 0xff, 0xff, 0xff]), Buffer.alloc(16_384)])
  assert.equal(usableCertificate(endless), 'ecdsa')
  assert.equal(usableCertificate(endless.subarray(0, 16_000)), undefined)
})

test('no bytes make it throw', async () => {
  const hello = await helloOf()
  const changes = fc.array(fc.tuple(fc.nat(hello.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 })
  const property = fc.property(changes, fc.nat(hello.length), (changed, length) => {
    const bytes = Buffer.from(hello)
    for (const [at, value] of changed) bytes[at] = value
    usableCertificate(bytes.subarray(0, length))
    usableCertificate(bytes)
  })
  fc.assert(property, { numRuns: 2_000 })
})

test('the RSA certificate of a host is minted once, when it is asked for', async () => {
  const leaf = await new Leaves(await createCertificateAuthority()).leafFor('api.example.com')
  let minted = 0
  const mintRsa = () => {
    minted++
    return leaf.mintRsa()
  }
  const counted = { ...leaf, mintRsa }
  const contexts = new LeafContexts()
  assert.ok(contexts.of(counted).ecdsa)
  assert.equal(minted, 0)
  const [first, second] = await Promise.all([contexts.of(counted).either(), contexts.of(counted).either()])
  assert.equal(first, second)
  assert.equal(minted, 1)
})
