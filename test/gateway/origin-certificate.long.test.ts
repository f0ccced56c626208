// Origins whose certificate is not good: a 502 that says so, and not a byte of the request.

import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { originCa, type RawConnection, startOrigin } from '../support/origin.js'
import { createTestCa } from '../support/test-ca.js'
import { startGateway } from './fixture.js'
import { ask } from './http2-client.js'

const run = promisify(execFile)
const HOST = 'api.example.com'
const isMissing = spawnSync('openssl', ['version']).error !== undefined && 'openssl is not installed'

/** How a certificate is made with `openssl ca`; each is wrong in one way but for the first. */
const CERTIFICATES: Readonly<
  Record<string, { subject: string; san?: string; from: number; to: number; usage?: string }>
> = {
  good: { subject: HOST, san: `DNS:${HOST}`, from: -1, to: 1 },
  expired: { subject: HOST, san: `DNS:${HOST}`, from: -3, to: -1 },
  'not valid yet': { subject: HOST, san: `DNS:${HOST}`, from: 1, to: 3 },
  'for another name': { subject: HOST, san: 'DNS:other.example.com', from: -1, to: 1 },
  'for a suffix of the name': { subject: HOST, san: 'DNS:example.com', from: -1, to: 1 },
  'for the name as an address': { subject: HOST, san: 'IP:127.0.0.1', from: -1, to: 1 },
  'with a common name only': { subject: HOST, from: -1, to: 1 },
  'for clients only': { subject: HOST, san: `DNS:${HOST}`, from: -1, to: 1, usage: 'clientAuth' },
}

/** RFC 5280's GeneralizedTime, `days` from now. */
function dateIn(days: number): string {
  return new Date(Date.now() + days * 86_400_000)
    .toISOString()
    .replace(/[-:T]/g, '')
    .replace(/\.\d+Z$/, 'Z')
}

async function issue(folder: string, name: keyof typeof CERTIFICATES & string) {
  const { subject, san, from, to, usage = 'serverAuth' } = CERTIFICATES[name] as (typeof CERTIFICATES)[string]
  const file = (suffix: string) => join(folder, `${name.replaceAll(' ', '-')}.${suffix}`)
  const config = [
    '[ca]',
    'default_ca = own',
    '[own]',
    `database = ${file('index')}`,
    `new_certs_dir = ${folder}`,
    'default_md = sha256',
    'policy = any',
    'rand_serial = yes',
    'unique_subject = no',
    '[any]',
    'commonName = supplied',
    '[ext]',
    'basicConstraints = critical, CA:FALSE',
    `extendedKeyUsage = ${usage}`,
    ...(san === undefined ? [] : [`subjectAltName = ${san}`]),
  ]
  await writeFile(file('cnf'), config.join('\n'))
  await writeFile(file('index'), '')
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', file('key')]
  await run('openssl', ['req', '-new', ...key, '-subj', `/CN=${subject}`, '-out', file('csr')])
  const issuer = ['-cert', join(folder, 'root.pem'), '-keyfile', join(folder, 'root.key')]
  const validity = ['-startdate', dateIn(from), '-enddate', dateIn(to)]
  const io = ['-in', file('csr'), '-out', file('pem'), '-batch', '-notext', '-extensions', 'ext']
  await run('openssl', ['ca', '-config', file('cnf'), ...issuer, ...validity, ...io])
  return { cert: await readFile(file('pem'), 'utf8'), key: await readFile(file('key'), 'utf8') }
}

test('an origin whose certificate is not good is a 502, and gets nothing', { skip: isMissing }, async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'origin-certificate-'))
  context.after(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, 'root.pem'), originCa.rootPem)
  await writeFile(join(folder, 'root.key'), originCa.rootKeyPem)
  const unknown = await createTestCa('unknown root')
  const selfSigned = { cert: unknown.rootPem, key: unknown.rootKeyPem }
  const pairs: [string, { cert: string; key: string }][] = [
    ['self-signed', selfSigned],
    ['of an unknown root', await unknown.serverCertificate(HOST)],
  ]
  for (const name of Object.keys(CERTIFICATES)) pairs.push([name, await issue(folder, name)])
  for (const [name, pair] of pairs) {
    const handler = ({ socket }: RawConnection) => {
      socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'))
    }
    const tls = { ALPNProtocols: ['http/1.1'] }
    const origin = await startOrigin(context, { protocol: 'raw', certificate: pair, handler, tls })
    const gateway = await startGateway(context, { origin })
    const { session } = await gateway.openHttp2()
    const { status, headers, text } = await ask(session, {})
    session.destroy()
    if (name === 'good') {
      assert.equal(status, 200, name)
      continue
    }
    assert.equal(status, 502, name)
    assert.equal(JSON.parse(text).code, 'certificate-rejected', name)
    assert.match(String(headers['proxy-status']), /error=tls_certificate_error/, name)
    assert.ok(
      origin.opened.every(({ received }) => received.length === 0),
      name,
    )
  }
})
