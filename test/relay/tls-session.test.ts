// A stored TLS session without the server's certificate, against a real server: what is left must still be a session.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { connect, createServer, type SecureVersion, type Server } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { withoutPeerCertificate } from '#src/runtime/tls-session.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { createTestCa, type TestCa } from '../support/test-ca.js'

const HOST = 'gateway.test'
/** From Node 22 on a session has a form of Node's own. */
const isDer = Number(process.versions.node.split('.')[0]) < 22

/** Versions, cipher, no id, no key: the fields that every session has. */
const MANDATORY = Buffer.from('020101020203040402130204000400', 'hex')

describe('a stored TLS session', () => {
  let ca: TestCa
  let server: Server

  before(async () => {
    ca = await createTestCa()
    server = createServer(await ca.serverCertificate(HOST), (socket) => socket.on('error', () => {}).end('hello'))
    await once(server.listen(0, '127.0.0.1'), 'listening')
  })

  after(() => server.close())

  /** A verified connection: the last session the server gave, and whether it went on with `session`. */
  async function connectOnce(version: SecureVersion, session?: Buffer) {
    const { port } = server.address() as AddressInfo
    const versions = { minVersion: version, maxVersion: version }
    const socket = connect({ port, servername: HOST, ca: ca.rootPem, ...versions, ...(session && { session }) })
    let latest: Buffer = Buffer.alloc(0)
    socket.on('session', (given: Buffer) => {
      latest = given
    })
    await once(socket, 'secureConnect')
    const isReused = socket.isSessionReused()
    await once(socket.resume(), 'close')
    return { latest, isReused, isAuthorized: socket.authorized }
  }

  it('goes on without the certificate, verified, as often as it is given', async () => {
    const { latest } = await connectOnce('TLSv1.3')
    const stored = withoutPeerCertificate(latest)
    if (isDer) assert.ok(stored.length < latest.length - 200, `${stored.length} of ${latest.length} bytes`)
    else assert.equal(stored, latest)
    for (let time = 0; time < 3; time++) {
      const { isReused, isAuthorized } = await connectOnce('TLSv1.3', stored)
      assert.deepEqual({ isReused, isAuthorized }, { isReused: true, isAuthorized: true })
    }
  })

  it('stays as it is before TLS 1.3', async () => {
    const { latest } = await connectOnce('TLSv1.2')
    assert.equal(withoutPeerCertificate(latest), latest)
    const { isReused, isAuthorized } = await connectOnce('TLSv1.2', latest)
    assert.deepEqual({ isReused, isAuthorized }, { isReused: true, isAuthorized: true })
  })

  it('stays as it is when it is cut off, or one of its bytes is another', async () => {
    const { latest } = await connectOnce('TLSv1.3')
    const stripped = withoutPeerCertificate(latest)
    for (let length = 0; length < latest.length; length++) {
      const part = latest.subarray(0, length)
      assert.equal(withoutPeerCertificate(part), part, `the first ${length} bytes`)
    }
    assert.deepEqual(withoutPeerCertificate(stripped), stripped)
    // Whatever a byte says, nothing is thrown and nothing is added.
    for (let offset = 0; offset < latest.length; offset++) {
      for (const value of [0x00, 0x1f, 0x7f, 0x80, 0x83, 0x84, 0xa3, 0xff]) {
        const changed = Buffer.from(latest).fill(value, offset, offset + 1)
        assert.ok(withoutPeerCertificate(changed).length <= latest.length)
      }
    }
  })

  it('keeps its shape whatever the lengths are', () => {
    for (const length of [10, 120, 300, 70_000]) {
      const rest = field(0xa9, Buffer.alloc(length))
      const session = field(0x30, Buffer.concat([MANDATORY, field(0xa3, Buffer.alloc(500)), rest]))
      assert.deepEqual(withoutPeerCertificate(session), field(0x30, Buffer.concat([MANDATORY, rest])))
    }
  })
})

describeOnEachRuntime('a stored TLS session', ({ kind, path }) => {
  it('loses its certificate where the library is OpenSSL, and only there', () => {
    const session = field(0x30, Buffer.concat([MANDATORY, field(0xa3, Buffer.alloc(500))]))
    const file = fileURLToPath(import.meta.resolve('#src/runtime/tls-session.js'))
    const script = `import(process.argv[1]).then(({ withoutPeerCertificate }) =>
      console.log(withoutPeerCertificate(Buffer.from(process.argv[2], 'hex')).length))`
    const length = Number(execFileSync(path, ['-e', script, file, session.toString('hex')], { encoding: 'utf8' }))
    assert.equal(length, kind === 'bun' ? session.length : MANDATORY.length + 2)
  })
})

/** A field in DER with the shortest length (X.690, 10.1). */
function field(tag: number, value: Buffer): Buffer {
  const hex = value.length.toString(16)
  const length = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
  return Buffer.concat([Buffer.from(value.length < 0x80 ? [tag] : [tag, 0x80 | length.length]), length, value])
}
