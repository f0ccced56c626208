// The gateway as its operator sees it: reloads, rotation, metrics and probes; and what none of these may show.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { GatewayStartError } from 'ccr-upstream-gateway'
import { CREDENTIALS, callThrough, HOST, SECRET, startGateway, type TestGateway } from './fixture.js'
import { GATEWAY_CLI, serve } from './gateway-program.js'

const bearer = (token: string) => ({ [HOST]: [{ transform: [{ headers: { authorization: { bearer: token } } }] }] })

test('a reload takes new rules for new tunnels, and one that fails changes nothing', async (context) => {
  const gateway = await startGateway(context, { config: { hosts: bearer('old-token') } })
  const token = async () => (await gateway.fieldsSeen()).authorization
  await gateway.reload({ hosts: bearer('new-token') })
  assert.equal(await token(), 'Bearer new-token')
  gateway.put('broken.pem', 'no certificate')
  const broken = [
    { ca: { certificate: 'broken.pem', key: 'ca.key' } },
    { listen: '127.0.0.2:0' },
    { secrets: { key: { command: ['/none'], ttlSeconds: 9 } } },
    { tls: { certificate: 'ca.pem', key: 'ca.key' } },
  ]
  for (const keys of broken) {
    const config = gateway.configWith({ hosts: bearer('bad-token'), ...keys })
    await assert.rejects(gateway.running.reload(config), (error: GatewayStartError) => {
      return error.location.startsWith('test.json:') && error.key.startsWith(Object.keys(keys)[0] as string)
    })
    assert.equal(await token(), 'Bearer new-token')
  }
})

test('a reload may replace the CA: new tunnels get certificates of the new one', async (context) => {
  const gateway = await startGateway(context, { config: { hosts: bearer('token') } })
  const before = gateway.caCertificatePem
  const { createCertificateAuthority } = await import('ccr-upstream-gateway')
  const authority = await createCertificateAuthority()
  gateway.put('new.pem', authority.certificatePem)
  gateway.put('new.key', authority.privateKeyPem())
  await gateway.reload({ ca: { certificate: 'new.pem', key: 'new.key' }, hosts: bearer('token') })
  assert.notEqual(gateway.caCertificatePem, before)
  assert.equal((await gateway.call()).status, 200)
})

test('SIGHUP reloads; a bad file is said with its line and the rules before stay; the audit is opened anew', async (context) => {
  const gateway = await startGateway(context)
  const program = await serve(context, gateway, { hosts: bearer('one') })
  const token = async () => {
    const { text } = await callThrough(program.tunnelUrl, gateway.caCertificatePem)
    return JSON.parse(text).headers.authorization
  }
  assert.equal(await token(), 'Bearer one')

  program.write({ hosts: bearer('two'), defualt: 'deny' })
  program.process.kill('SIGHUP')
  await program.process.until(/not reloaded, the config before stays in use\n/, 'stderr')
  assert.equal(await token(), 'Bearer one')

  const count = async (name: string) => (await readFile(join(gateway.folder, name), 'utf8')).trim().split('\n').length
  // A record is written after its answer.
  while ((await count('serve.jsonl')) < 2) await nextTurn()
  await rename(join(gateway.folder, 'serve.jsonl'), join(gateway.folder, 'serve.1'))
  program.write({ hosts: bearer('three') })
  program.process.kill('SIGHUP')
  await program.process.until(/: reloaded\n/, 'stderr')
  assert.equal(await token(), 'Bearer three')

  program.process.kill('SIGTERM')
  const { exitCode, stderr } = await program.process.ended
  assert.equal(exitCode, 0)
  const [, problem, refused, reloaded, ...rest] = stderr.trimEnd().split('\n')
  assert.match(problem ?? '', new RegExp(`^${program.file}:\\d+: defualt: is not a known key$`))
  assert.match(refused ?? '', /not reloaded, the config before stays in use$/)
  assert.deepEqual([reloaded, rest], ['ccr-upstream-gateway: reloaded', []])
  assert.deepEqual([await count('serve.1'), await count('serve.jsonl')], [2, 1])
})

test('check says file, line and key of what only using it shows', async (context) => {
  const gateway = await startGateway(context)
  const file = join(gateway.folder, 'check.json')
  const keys = { ca: { certificate: 'root.pem', key: 'ca.key' }, sessions: [{ id: 's', tokenSha256: 'ab'.repeat(32) }] }
  await writeFile(file, JSON.stringify({ default: 'deny', ...keys }, null, 1))
  const child = spawn(process.execPath, [GATEWAY_CLI, 'check', '--config', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', (text) => {
    said += text
  })
  assert.deepEqual(await once(child, 'close'), [1, null])
  assert.equal(said, `${file}:3: ca: does not belong to the private key\n`)
})

const ADMIN = { admin: { listen: '127.0.0.1:0' } }

async function scrape(gateway: TestGateway): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${gateway.running.adminPort}/metrics`)
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
  return response.text()
}

const sample = (text: string, name: string) =>
  Number(new RegExp(`^${name.replace(/[{}]/g, '\\$&')} (.+)$`, 'm').exec(text)?.[1])

test('metrics count requests, tunnels, refusals, bytes and reloads, without a host or a session', async (context) => {
  const gateway = await startGateway(context, { config: { ...ADMIN, hosts: bearer('token') } })
  await gateway.call()
  await gateway.call({ path: '/' })
  await gateway.call({ host: '127.0.0.1' })
  await gateway.untilRecords(3)
  const open = await gateway.openTunnel('plain.example.com')
  await gateway.reload({ ...ADMIN, hosts: bearer('token') })
  const text = await scrape(gateway)
  assert.equal(sample(text, 'ccr_gateway_requests_total{status="2xx"}'), 2)
  assert.equal(sample(text, 'ccr_gateway_refusals_total{code="address-denied"}'), 1)
  assert.equal(sample(text, 'ccr_gateway_request_duration_seconds_count'), 2)
  assert.equal(sample(text, 'ccr_gateway_reloads_total{outcome="success"}'), 1)
  assert.ok(sample(text, 'ccr_gateway_open_tunnels') >= 1)
  assert.ok(sample(text, 'ccr_gateway_bytes_total{direction="down"}') > 0)
  assert.equal(sample(text, 'ccr_gateway_audit_lines_lost'), 0)
  for (const word of [HOST, 'plain.example.com', CREDENTIALS.session]) assert.ok(!text.includes(word), word)
  open.stream.destroy()
})

test('probes: alive and ready while it serves, alive but not ready while it closes', async (context) => {
  const gateway = await startGateway(context, { config: ADMIN })
  const { adminPort } = gateway.running
  const status = async (path: string) => (await fetch(`http://127.0.0.1:${adminPort}${path}`)).status
  assert.deepEqual(await Promise.all(['/healthz', '/readyz', '/other'].map(status)), [200, 200, 404])
  const { stream } = await gateway.openTunnel('plain.example.com')
  const closed = gateway.running.close({ graceMs: 60_000 })
  assert.deepEqual(await Promise.all(['/healthz', '/readyz'].map(status)), [200, 503])
  stream.end()
  await closed
  await assert.rejects(fetch(`http://127.0.0.1:${adminPort}/healthz`))
})

test('without admin there is no second port; the main port has no metrics', async (context) => {
  const gateway = await startGateway(context)
  assert.equal(gateway.running.adminPort, undefined)
  assert.equal((await fetch(`${gateway.url}/metrics`)).status, 404)
})

/** How a text may be written down: as it is, in Base64 at each alignment, percent-encoded. */
function spellings(secret: string): string[] {
  const shifted = [0, 1, 2].map((shift) => {
    const text = Buffer.from('x'.repeat(shift) + secret).toString('base64')
    return text.slice(shift === 0 ? 0 : 4, -4)
  })
  return [secret, encodeURIComponent(secret), ...shifted]
}

test('no secret and no token is in audit, metrics or warnings: raw, in Base64 or percent-encoded', async (context) => {
  const password = 'pa55/word+sentinel=='
  const gateway = await startGateway(context, {
    env: { API_KEY: SECRET, PASSWORD: password },
    files: { key: 'file-sentinel/0123456789' },
    config: {
      ...ADMIN,
      hosts: {
        [HOST]: [
          {
            match: { scheme: 'basic' },
            transform: [{ headers: { authorization: { basic: { user: 'u', password: `\${env:PASSWORD}` } } } }],
          },
          { transform: [{ headers: { authorization: { bearer: `\${env:API_KEY}` }, 'x-key': `\${file:key}` } }] },
        ],
      },
    },
  })
  await gateway.call({ path: `/p?key=${encodeURIComponent(SECRET)}`, headers: { authorization: 'Basic eDp5' } })
  await gateway.call({ headers: { cookie: SECRET } })
  await gateway.call({ credentials: { ...CREDENTIALS, session: 'other' } })
  gateway.put('key', 'two\nlines-sentinel')
  await gateway.call()
  const seen = JSON.stringify(await gateway.untilRecords(4)) + (await scrape(gateway)) + gateway.warnings.join('\n')
  for (const secret of [SECRET, password, 'file-sentinel/0123456789', 'lines-sentinel', CREDENTIALS.token]) {
    for (const spelling of spellings(secret)) assert.ok(!seen.includes(spelling), spelling)
  }
})
