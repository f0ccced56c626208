// The trust store's bytes. What a JDK makes of them is in java-trust-store.long.test.ts.

import assert from 'node:assert/strict'
import { createHash, X509Certificate } from 'node:crypto'
import { describe, it } from 'node:test'
import { rootCertificates } from 'node:tls'
import { encodeJavaTrustStore } from '#src/system/children/files/java-trust-store.js'

const roots = rootCertificates.map((pem) => new X509Certificate(pem))

describe('the Java trust store', () => {
  it('begins with magic, version and count, and ends with the keyed digest of all before', () => {
    const store = encodeJavaTrustStore(roots.slice(0, 1))
    assert.equal(store.toString('hex', 0, 12), 'feedfeed0000000200000001')
    const key = Buffer.from('006300680061006e00670065006900744d696768747920417068726f64697465', 'hex')
    const digest = createHash('sha1').update(key).update(store.subarray(0, -20)).digest()
    assert.deepEqual(store.subarray(-20), digest)
  })

  it('holds each certificate once, and is the same whenever it is made', () => {
    const [first, second] = roots as [X509Certificate, X509Certificate]
    const store = encodeJavaTrustStore([first, second, new X509Certificate(first.toString())])
    assert.equal(store.readUInt32BE(8), 2)
    assert.deepEqual(encodeJavaTrustStore([first, second]), store)
  })

  it("encodes every root of Node's own in a tenth of a second", () => {
    encodeJavaTrustStore(roots.slice(0, 1))
    const start = process.cpuUsage()
    const store = encodeJavaTrustStore(roots)
    const { user, system } = process.cpuUsage(start)
    assert.equal(store.readUInt32BE(8), roots.length)
    assert.ok(user + system < 100_000, `${(user + system) / 1000} ms of CPU`)
  })
})
