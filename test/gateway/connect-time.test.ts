// A WebSocket may wait for minutes before its CONNECT comes. What holds then is what holds: the policy, the way out, the
// session; and the tunnel is as old as its CONNECT, not as its WebSocket.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hashToken } from 'ccr-upstream-gateway'
import { exportJWK, type GenerateKeyPairResult, generateKeyPair, SignJWT } from 'jose'
import { WebSocket } from 'ws'
import { CREDENTIALS, HOST, startGateway, type TestGateway } from './fixture.js'
import { Http1Client } from './http1-client.js'
import { type Credentials, connectHead, openWire, readAnswer, startTls, type WireStream } from './wire-client.js'

const PLAIN = 'plain.example.com'
const SESSION = { id: CREDENTIALS.session, tokenSha256: hashToken(CREDENTIALS.token) }

const keys: GenerateKeyPairResult = await generateKeyPair('ES256', { extractable: true })
const KEY_SET = JSON.stringify({ keys: [{ ...(await exportJWK(keys.publicKey)), kid: 'key-1', alg: 'ES256' }] })
const jwt = (more: Record<string, unknown> = {}) => ({
  jwt: [{ issuer: 'https://issuer.example', audience: 'gateway', jwks: 'jwks.json', policyClaim: 'team', ...more }],
})
const signed = await new SignJWT({ sub: 'session-j', team: 'team-a' })
  .setProtectedHeader({ alg: 'ES256', kid: 'key-1' })
  .setIssuer('https://issuer.example')
  .setAudience('gateway')
  .setExpirationTime('1h')
  .sign(keys.privateKey)
const SIGNED: Credentials = { session: 'session-j', token: signed }

const bearer = (token: string) => ({ [HOST]: [{ transform: [{ headers: { authorization: { bearer: token } } }] }] })

const warm = (gateway: TestGateway, { token }: Credentials = CREDENTIALS) => openWire(gateway.tunnelUrl, token)

/** Sends the CONNECT at last; `200`, or the status and the code of the refusal. */
async function connectOver(stream: WireStream, host: string, credentials = CREDENTIALS): Promise<string> {
  stream.write(connectHead(`${host}:443`, credentials))
  const { status, text } = await readAnswer(stream)
  return status === 200 ? '200' : `${status} ${JSON.parse(text.split('\r\n\r\n')[1] as string).code}`
}

async function http1Over(gateway: TestGateway, stream: WireStream): Promise<Http1Client> {
  return new Http1Client(stream, await startTls(stream, gateway.caCertificatePem, HOST))
}

/** What the origin gets as Authorization. */
async function injectedInto(client: Http1Client): Promise<string> {
  const { body } = await client.ask(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)
  return JSON.parse(body).headers.authorization
}

test('a host that a reload denies is refused on a WebSocket that was open before', async (context) => {
  const gateway = await startGateway(context, { rules: bearer('one') })
  const [first, second] = await Promise.all([warm(gateway), warm(gateway)])
  await gateway.reload({ deny: [HOST, PLAIN] })
  assert.equal(await connectOver(first, HOST), '403 policy-denied')
  assert.equal(await connectOver(second, PLAIN), '403 policy-denied')
  const records = await gateway.untilRecords(2)
  assert.deepEqual(
    records.map((record) => record.mode === 'refused' && record.code),
    ['policy-denied', 'policy-denied'],
  )
})

test('rules, way out and CA are those of the CONNECT', async (context) => {
  const gateway = await startGateway(context, { rules: bearer('one') })
  const [ruled, dialled] = [await warm(gateway), await warm(gateway)]
  const { createCertificateAuthority } = await import('ccr-upstream-gateway')
  const authority = await createCertificateAuthority()
  gateway.put('new.pem', authority.certificatePem)
  gateway.put('new.key', authority.privateKeyPem())
  const ca = { certificate: 'new.pem', key: 'new.key' }
  await gateway.reload({ ca, hosts: bearer('two') })
  assert.equal(await connectOver(ruled, HOST), '200')
  assert.equal(await injectedInto(await http1Over(gateway, ruled)), 'Bearer two')
  await gateway.reload({ ca, upstream: { allowPorts: [8443] } })
  assert.equal(await connectOver(dialled, PLAIN), '403 port-denied')
})

test('an open tunnel goes on by the config of its CONNECT', async (context) => {
  const gateway = await startGateway(context, { rules: bearer('one') })
  const stream = await warm(gateway)
  assert.equal(await connectOver(stream, HOST), '200')
  await gateway.reload({ deny: [HOST] })
  assert.equal(await injectedInto(await http1Over(gateway, stream)), 'Bearer one')
})

test('a session that left, was revoked or expired is refused at its CONNECT, and audited', async (context) => {
  const policies = { 'team-a': {} }
  const gateway = await startGateway(context, { config: jwt(), policies, files: { 'jwks.json': KEY_SET } })
  const stored = await Promise.all([warm(gateway), warm(gateway), warm(gateway)])
  const signedOnes = await Promise.all([warm(gateway, SIGNED), warm(gateway, SIGNED)])
  const other = { id: 'other', tokenSha256: hashToken('other') }

  await gateway.reload({ ...jwt({ revoked: ['session-j'] }), sessions: [other] })
  for (const { socket } of [...stored, ...signedOnes]) assert.equal(socket.readyState, WebSocket.OPEN)
  assert.equal(await connectOver(stored[0] as WireStream, PLAIN), '401 unauthorized')
  assert.equal(await connectOver(signedOnes[0] as WireStream, PLAIN, SIGNED), '401 session-expired')

  await gateway.reload({ jwt: [], sessions: [{ ...SESSION, id: 'renamed' }, other] })
  assert.equal(await connectOver(stored[1] as WireStream, PLAIN), '407 credential-mismatch')
  assert.equal(await connectOver(signedOnes[1] as WireStream, PLAIN, SIGNED), '401 unauthorized')

  await gateway.reload({ sessions: [{ ...SESSION, expires: '2020-01-01T00:00:00Z' }] })
  assert.equal(await connectOver(stored[2] as WireStream, PLAIN), '401 session-expired')
  assert.equal((await gateway.untilRecords(5)).length, 5)
})

test('a session that expires while its WebSocket waits is refused without a reload', async (context) => {
  const expires = Date.now() + 60_000
  const config = { sessions: [{ ...SESSION, expires: new Date(expires).toISOString() }] }
  const gateway = await startGateway(context, { config })
  const stream = await warm(gateway)
  context.mock.method(Date, 'now', () => expires)
  assert.equal(await connectOver(stream, PLAIN), '401 session-expired')
})

test('a session gets the policy that it has when its CONNECT comes', async (context) => {
  const policies = { 'team-a': { hosts: bearer('a') }, closed: { deny: [HOST] } }
  const gateway = await startGateway(context, { config: jwt(), policies, files: { 'jwks.json': KEY_SET } })
  const [stored, changed, named] = [await warm(gateway), await warm(gateway, SIGNED), await warm(gateway, SIGNED)]
  await gateway.reload({
    sessions: [{ ...SESSION, policy: 'closed' }],
    policies: { ...policies, 'team-a': { hosts: bearer('b') } },
  })
  assert.equal(await connectOver(stored, HOST), '403 policy-denied')
  assert.equal(await connectOver(changed, HOST, SIGNED), '200')
  assert.equal(await injectedInto(await http1Over(gateway, changed)), 'Bearer b')
  await gateway.reload({ policies: { closed: { deny: [] } } })
  assert.equal(await connectOver(named, HOST, SIGNED), '401 unauthorized')
})

test('time and duration in the audit begin with the first byte of the CONNECT', async (context) => {
  const gateway = await startGateway(context, { config: { deny: [HOST] } })
  const stream = await warm(gateway)
  // What is waited for here is time itself.
  await new Promise((resolve) => setTimeout(resolve, 300))
  const before = Date.now()
  const head = connectHead(`${HOST}:443`, CREDENTIALS)
  stream.write(head.slice(0, 10))
  await new Promise((resolve) => setTimeout(resolve, 100))
  stream.write(head.slice(10))
  assert.equal((await readAnswer(stream)).status, 403)
  const after = Date.now()
  const [record] = await gateway.untilRecords(1)
  const [time, ms] = [Date.parse(record?.time as string), record?.ms as number]
  assert.ok(time >= before && time <= after, `${time} is not in ${before} to ${after}`)
  assert.ok(ms >= 90 && ms <= after - before + 1, `${ms} is not in 90 to ${after - before}`)
})

test('a gateway that is told to end does not wait for WebSockets that wait', async (context) => {
  const gateway = await startGateway(context)
  const streams = [await warm(gateway), await warm(gateway)]
  const codes = streams.map(({ closeCode }) => closeCode)
  streams[0]?.resume()
  streams[1]?.resume()
  await gateway.close({ graceMs: 600_000 })
  assert.deepEqual(await Promise.all(codes), [1000, 1000])
})

test('a CONNECT that is on its way when the gateway is told to end is still served', async (context) => {
  const gateway = await startGateway(context)
  const stream = await warm(gateway)
  const closed = gateway.close({ graceMs: 600_000 })
  assert.equal(await connectOver(stream, PLAIN), '200')
  stream.end()
  await closed
})

test("a command's secret is kept fresh for a tunnel that outlives a reload", async (context) => {
  const command = ['sh', '-c', 'echo run >> runs; echo "token-$(wc -l < runs)"']
  const secrets = { key: { command, ttlSeconds: 1 } }
  const gateway = await startGateway(context, { config: { secrets }, rules: bearer(`\${secret:key}`) })
  const client = await gateway.openHttp1()
  const first = await injectedInto(client)
  await gateway.reload({ secrets: {}, hosts: bearer('other') })
  while ((await injectedInto(client)) === first) await new Promise((resolve) => setTimeout(resolve, 50))
})
