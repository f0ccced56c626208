// The gateway as its operator sees it: reloads, rotation, metrics and probes; and what none of these may show.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type GatewayStartError, hashToken } from 'ccr-upstream-gateway'
import { CREDENTIALS, SECRET } from './fixture.js'
import { call, fieldsOf, HOST, type Ops, startOps } from './ops-fixture.js'
import { connect } from './wire-client.js'

const MAIN = fileURLToPath(new URL('../../../gateway/dist/cli/main.js', import.meta.url))

const bearer = (token: string) => ({ [HOST]: [{ transform: [{ headers: { authorization: { bearer: token } } }] }] })

test('a reload takes new rules for new tunnels, and one that fails changes nothing', async (context) => {
  const ops = await startOps(context, { config: { hosts: bearer('old-token') } })
  const token = async () => (await fieldsOf(call(ops))).authorization
  await ops.gateway.reload(ops.configWith({ hosts: bearer('new-token') }))
  assert.equal(await token(), 'Bearer new-token')
  ops.put('broken.pem', 'no certificate')
  const broken = [
    { ca: { certificate: 'broken.pem', key: 'ca.key' } },
    { listen: '127.0.0.2:0' },
    { secrets: { key: { command: ['/none'], ttlSeconds: 9 } } },
    { tls: { certificate: 'ca.pem', key: 'ca.key' } },
  ]
  for (const keys of broken) {
    const config = ops.configWith({ hosts: bearer('bad-token'), ...keys })
    await assert.rejects(ops.gateway.reload(config), (error: GatewayStartError) => {
      return error.location.startsWith('ops.json:') && error.key.startsWith(Object.keys(keys)[0] as string)
    })
    assert.equal(await token(), 'Bearer new-token')
  }
})

test('a reload may replace the CA: new tunnels get certificates of the new one', async (context) => {
  const ops = await startOps(context, { config: { hosts: bearer('token') } })
  const before = ops.gateway.caCertificatePem
  const { createCertificateAuthority } = await import('ccr-upstream-gateway')
  const authority = await createCertificateAuthority()
  ops.put('new.pem', authority.certificatePem)
  ops.put('new.key', authority.privateKeyPem())
  await ops.gateway.reload(ops.configWith({ ca: { certificate: 'new.pem', key: 'new.key' }, hosts: bearer('token') }))
  assert.notEqual(ops.gateway.caCertificatePem, before)
  assert.equal((await call(ops)).status, 200)
})

/** `serve` as a program, over the folder of `ops`; lines of stderr one by one. */
async function serve(context: TestContext, ops: Ops, config: Record<string, unknown>) {
  const file = join(ops.folder, 'serve.json')
  const write = (keys: Record<string, unknown>) => writeFile(file, JSON.stringify(keys, null, 1))
  await write(config)
  const child: ChildProcess = spawn(process.execPath, [MAIN, 'serve', '--config', file], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  context.after(async () => {
    if (child.exitCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'close')
  })
  child.stdout?.resume()
  const lines = createInterface({ input: child.stderr as NodeJS.ReadableStream })[Symbol.asyncIterator]()
  const nextLine = async () => String((await lines.next()).value)
  const url = (await nextLine()).split(' ').at(-1) as string
  const tunnelUrl = `${url.replace('http', 'ws')}/upstreamproxy/ws`
  return { child, write, nextLine, file, served: { ...ops, tunnelUrl } }
}

test('SIGHUP reloads; a bad file is said with its line and the rules before stay; the audit is opened anew', async (context) => {
  const ops = await startOps(context)
  const base = {
    listen: '127.0.0.1:0',
    ca: { certificate: 'ca.pem', key: 'ca.key' },
    sessions: [{ id: CREDENTIALS.session, tokenSha256: hashToken(CREDENTIALS.token) }],
    upstream: { caFiles: ['root.pem'], connectTo: { [`${HOST}:443`]: ops.originAddress } },
    audit: 'audit.jsonl',
  }
  const { child, write, nextLine, file, served } = await serve(context, ops, { ...base, hosts: bearer('one') })
  const token = async () => (await fieldsOf(call(served))).authorization
  assert.equal(await token(), 'Bearer one')

  await write({ ...base, hosts: bearer('two'), defualt: 'deny' })
  child.kill('SIGHUP')
  assert.match(await nextLine(), new RegExp(`^${file}:\\d+: defualt: is not a known key$`))
  assert.match(await nextLine(), /not reloaded, the config before stays in use$/)
  assert.equal(await token(), 'Bearer one')

  await rename(join(ops.folder, 'audit.jsonl'), join(ops.folder, 'audit.1'))
  await write({ ...base, hosts: bearer('three') })
  child.kill('SIGHUP')
  assert.equal(await nextLine(), 'ccr-upstream-gateway: reloaded')
  assert.equal(await token(), 'Bearer three')

  child.kill('SIGTERM')
  assert.deepEqual(await once(child, 'close'), [0, null])
  const count = async (name: string) => (await readFile(join(ops.folder, name), 'utf8')).trim().split('\n').length
  assert.deepEqual([await count('audit.1'), await count('audit.jsonl')], [2, 1])
})

test('check says file, line and key of what only using it shows', async (context) => {
  const ops = await startOps(context)
  const file = join(ops.folder, 'check.json')
  const keys = { ca: { certificate: 'root.pem', key: 'ca.key' }, sessions: [{ id: 's', tokenSha256: 'ab'.repeat(32) }] }
  await writeFile(file, JSON.stringify({ default: 'deny', ...keys }, null, 1))
  const child = spawn(process.execPath, [MAIN, 'check', '--config', file], { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', (text) => {
    said += text
  })
  assert.deepEqual(await once(child, 'close'), [1, null])
  assert.equal(said, `${file}:3: ca: does not belong to the private key\n`)
})

const ADMIN = { admin: { listen: '127.0.0.1:0' } }

async function scrape(ops: Ops): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${ops.gateway.adminPort}/metrics`)
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
  return response.text()
}

const sample = (text: string, name: string) =>
  Number(new RegExp(`^${name.replace(/[{}]/g, '\\$&')} (.+)$`, 'm').exec(text)?.[1])

test('metrics count requests, tunnels, refusals, bytes and reloads, without a host or a session', async (context) => {
  const ops = await startOps(context, { config: { ...ADMIN, hosts: bearer('token') } })
  await call(ops)
  await call(ops, { path: '/' })
  await call(ops, { host: '127.0.0.1' })
  await ops.records(3)
  const open = await connect(ops.tunnelUrl, CREDENTIALS, 'plain.example.com:443')
  await ops.gateway.reload(ops.configWith({ ...ADMIN, hosts: bearer('token') }))
  const text = await scrape(ops)
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
  const ops = await startOps(context, { config: ADMIN })
  const { adminPort } = ops.gateway
  const status = async (path: string) => (await fetch(`http://127.0.0.1:${adminPort}${path}`)).status
  assert.deepEqual(await Promise.all(['/healthz', '/readyz', '/other'].map(status)), [200, 200, 404])
  const { stream } = await connect(ops.tunnelUrl, CREDENTIALS, 'plain.example.com:443')
  const closed = ops.gateway.close({ graceMs: 60_000 })
  assert.deepEqual(await Promise.all(['/healthz', '/readyz'].map(status)), [200, 503])
  stream.end()
  await closed
  await assert.rejects(fetch(`http://127.0.0.1:${adminPort}/healthz`))
})

test('without admin there is no second port; the main port has no metrics', async (context) => {
  const ops = await startOps(context)
  assert.equal(ops.gateway.adminPort, undefined)
  assert.equal((await fetch(`${ops.gateway.url}/metrics`)).status, 404)
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
  const ops = await startOps(context, {
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
  await call(ops, { path: `/p?key=${encodeURIComponent(SECRET)}`, headers: { authorization: 'Basic eDp5' } })
  await call(ops, { headers: { cookie: SECRET } })
  await call(ops, { credentials: { ...CREDENTIALS, session: 'other' } })
  ops.put('key', 'two\nlines-sentinel')
  await call(ops)
  const seen = JSON.stringify(await ops.records(4)) + (await scrape(ops)) + ops.warnings.join('\n')
  for (const secret of [SECRET, password, 'file-sentinel/0123456789', 'lines-sentinel', CREDENTIALS.token]) {
    for (const spelling of spellings(secret)) assert.ok(!seen.includes(spelling), spelling)
  }
})
