// Who is let in and for how long: stored tokens with an end, signed tokens against a key set, limits, and what becomes of
// the tunnels of a session that has ended.

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { type TestContext, test } from 'node:test'
import { hashToken } from 'ccr-upstream-gateway'
import {
  base64url,
  type CryptoKey,
  exportJWK,
  exportSPKI,
  type GenerateKeyPairResult,
  generateKeyPair,
  type JWTPayload,
  SignJWT,
} from 'jose'
import { WebSocket } from 'ws'
import { listen } from '../support/listening.js'
import { CREDENTIALS, HOST, startGateway, type TestGateway } from './fixture.js'
import { type Credentials, connectHead, readAll, sendHead, type UpgradeRefusal, upgrade } from './wire-client.js'

const ISSUER = 'https://issuer.example.com'
const AUDIENCE = 'ccr-gateway'

const keys: GenerateKeyPairResult = await generateKeyPair('ES256', { extractable: true })
const otherKeys = await generateKeyPair('ES256', { extractable: true })
const keySet = async (kid: string, { publicKey }: GenerateKeyPairResult = keys) => {
  return JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' }] })
}

interface TokenOptions {
  readonly claims?: JWTPayload
  readonly audience?: string
  readonly issuer?: string
  readonly expires?: number | string
  readonly kid?: string
  readonly key?: CryptoKey | Uint8Array
  readonly alg?: string
}

function sign(options: TokenOptions = {}): Promise<string> {
  return new SignJWT({ sub: 'session-j', ...options.claims })
    .setProtectedHeader({ alg: options.alg ?? 'ES256', kid: options.kid ?? 'key-1' })
    .setIssuer(options.issuer ?? ISSUER)
    .setAudience(options.audience ?? AUDIENCE)
    .setIssuedAt()
    .setExpirationTime(options.expires ?? '1h')
    .sign(options.key ?? keys.privateKey)
}

const jwt = (more: Record<string, unknown> = {}) => ({
  sessions: [],
  jwt: [{ issuer: ISSUER, audience: AUDIENCE, jwks: 'jwks.json', ...more }],
})

async function startWithKeys(context: TestContext, config: Record<string, unknown> = jwt()): Promise<TestGateway> {
  return startGateway(context, { config, files: { 'jwks.json': await keySet('key-1') } })
}

async function refusal(gateway: TestGateway, token: string): Promise<UpgradeRefusal & { readonly code: string }> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/proto' }
  const answer = await upgrade(gateway.tunnelUrl, headers)
  assert.ok(!(answer instanceof WebSocket), 'the upgrade was accepted')
  return { ...answer, code: JSON.parse(answer.body).code }
}

const as = (token: string, session = 'session-j'): Credentials => ({ session, token })

test('a signed token opens tunnels, as Bearer and as Basic, and its session is in the audit', async (context) => {
  const gateway = await startWithKeys(context)
  const token = await sign()
  assert.equal((await gateway.call({ credentials: as(token), host: '127.0.0.1' })).status, 403)
  assert.equal((await gateway.untilRecords(1))[0]?.session, 'session-j')
  const answer = await sendHead(
    gateway.tunnelUrl,
    token,
    connectHead(`${HOST}:443`, as(await sign({ claims: { n: 1 } }))),
  )
  assert.equal(answer.status, 407, 'another token of the same session is not the one that opened the WebSocket')
  const other = await sendHead(gateway.tunnelUrl, token, connectHead(`${HOST}:443`, as(token, 'session-x')))
  assert.equal(other.status, 407)
})

test('tokens that are expired, of another issuer, audience or key, unsigned or MACed are answered 401', async (context) => {
  const gateway = await startWithKeys(context)
  const publicPem = new TextEncoder().encode(await exportSPKI(keys.publicKey))
  const publicJwk = new TextEncoder().encode(JSON.stringify(await exportJWK(keys.publicKey)))
  const [, payload] = (await sign()).split('.')
  const unsigned = (alg: string) => `${base64url.encode(JSON.stringify({ alg, kid: 'key-1' }))}.${payload}.`
  const [head, body, signature] = (await sign()).split('.')
  const forged = base64url.encode(
    JSON.stringify({ ...JSON.parse(Buffer.from(body ?? '', 'base64url').toString()), sub: 'admin' }),
  )
  const wrong: [string, string | Promise<string>][] = [
    ['another audience', sign({ audience: 'other' })],
    ['another issuer', sign({ issuer: 'https://other.example.com' })],
    ['an unknown kid', sign({ kid: 'key-2' })],
    ['another key', sign({ key: otherKeys.privateKey })],
    ['alg none', unsigned('none')],
    ['alg None', unsigned('None')],
    ['HS256 with the public key as PEM', sign({ alg: 'HS256', key: publicPem })],
    ['HS256 with the public key as JWK', sign({ alg: 'HS256', key: publicJwk })],
    ['a changed payload', `${head}.${forged}.${signature}`],
    ['a session id with a colon', sign({ claims: { sub: 'a:b' } })],
    ['no session id', sign({ claims: { sub: '' } })],
    ['not yet valid', sign({ claims: { nbf: Math.floor(Date.now() / 1_000) + 3_600 } })],
    ['no token', 'a.b.c'],
  ]
  for (const [title, token] of wrong) {
    const { status, code } = await refusal(gateway, await token)
    assert.deepEqual([status, code], [401, 'unauthorized'], title)
  }
  const expired = await refusal(gateway, await sign({ expires: Math.floor(Date.now() / 1_000) - 60 }))
  assert.deepEqual(
    [expired.status, expired.code, expired.headers['www-authenticate']],
    [401, 'session-expired', 'Bearer'],
  )
})

test('a token without an expiry is refused', async (context) => {
  const gateway = await startWithKeys(context)
  const token = await new SignJWT({ sub: 's' })
    .setProtectedHeader({ alg: 'ES256', kid: 'key-1' })
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .sign(keys.privateKey)
  assert.equal((await refusal(gateway, token)).code, 'unauthorized')
})

test('the key set may be a URL; a set that cannot be had is answered 503 with Retry-After', async (context) => {
  let isUp = false
  let requests = 0
  const issuer = createServer(async (_request, response) => {
    requests++
    if (isUp) response.end(await keySet('key-1'))
    else response.writeHead(500).end()
  })
  const jwks = `http://${(await listen(context, issuer)).address}/jwks.json`
  const gateway = await startGateway(context, { config: jwt({ jwks }) })
  const token = await sign()
  const { status, code, headers } = await refusal(gateway, token)
  assert.deepEqual([status, code, headers['retry-after']], [503, 'keys-unavailable', '5'])
  isUp = true
  const before = requests
  for (let count = 0; count < 3; count++) {
    assert.equal((await gateway.call({ credentials: as(token), host: '127.0.0.1' })).status, 403)
  }
  assert.equal(requests - before, 1)
  assert.equal((await refusal(gateway, await sign({ kid: 'unknown' }))).code, 'unauthorized')
  assert.equal(requests - before, 1, 'an unknown key id does not ask again at once')
})

test('a key set in a file is read again when it changes', async (context) => {
  const gateway = await startWithKeys(context)
  const token = await sign({ kid: 'key-2', key: otherKeys.privateKey })
  assert.equal((await refusal(gateway, token)).status, 401)
  gateway.put('jwks.json', await keySet('key-2', otherKeys))
  assert.equal((await gateway.call({ credentials: as(token), host: '127.0.0.1' })).status, 403)
})

test('the policy claim maps a token to a policy; one that names none that is known is refused', async (context) => {
  const rule = (token: string) => [{ transform: [{ headers: { authorization: { bearer: token } } }] }]
  const gateway = await startWithKeys(context, {
    ...jwt({ policyClaim: 'team', policy: 'rest', sessionClaim: 'sid' }),
    policies: { a: { hosts: { [HOST]: rule('token-a') } }, rest: { hosts: { [HOST]: rule('token-rest') } } },
  })
  const token = async (claims: JWTPayload) => {
    const credentials = as(await sign({ claims: { sid: 's-1', ...claims } }), 's-1')
    return (await gateway.fieldsSeen({ credentials })).authorization
  }
  assert.equal(await token({ team: 'a' }), 'Bearer token-a')
  assert.equal(await token({}), 'Bearer token-rest')
  assert.equal((await refusal(gateway, await sign({ claims: { sid: 's-1', team: 'b' } }))).code, 'unauthorized')
})

/** A tunnel of a session that expires soon, but not before the tunnel is open. */
async function openExpiring(context: TestContext, lifeMs = 500) {
  const expires = new Date(Date.now() + lifeMs)
  const session = { id: CREDENTIALS.session, tokenSha256: hashToken(CREDENTIALS.token), expires: expires.toISOString() }
  const gateway = await startGateway(context, { config: { sessions: [session] } })
  try {
    const { stream, status } = await gateway.openTunnel('plain.example.com')
    assert.equal(status, 200)
    return { gateway, expires, stream }
  } catch (error) {
    if (Date.now() < expires.getTime()) throw error
    return openExpiring(context, 2 * lifeMs)
  }
}

test("an expired session's open tunnels end, are audited as such, and its token is refused afterwards", async (context) => {
  const { gateway, expires, stream } = await openExpiring(context)
  await readAll(stream)
  assert.ok(Date.now() >= expires.getTime())
  assert.equal(await stream.closeCode, 1008)
  const [record] = await gateway.untilRecords(1)
  assert.equal(record?.mode === 'tunnel' && record.error, 'session-ended')
  assert.deepEqual((await refusal(gateway, CREDENTIALS.token)).code, 'session-expired')
})

test('a reload that takes a session away, or revokes a signed one, ends its tunnels and refuses its token', async (context) => {
  const other = { id: 'other', tokenSha256: hashToken('other-token') }
  const gateway = await startWithKeys(context, {
    ...jwt(),
    sessions: [{ id: CREDENTIALS.session, tokenSha256: hashToken(CREDENTIALS.token) }, other],
  })
  const token = await sign()
  const tunnels = [CREDENTIALS, as(token), as('other-token', 'other')].map(async (credentials) => {
    return (await gateway.openTunnel('plain.example.com', credentials)).stream
  })
  const [stored, signed, kept] = await Promise.all(tunnels)
  await gateway.reload({ ...jwt({ revoked: ['session-j'] }), sessions: [other] })
  assert.equal(await stored?.closeCode, 1008)
  assert.equal(await signed?.closeCode, 1008)
  assert.equal(kept?.socket.readyState, WebSocket.OPEN)
  assert.equal((await refusal(gateway, CREDENTIALS.token)).code, 'unauthorized')
  assert.equal((await refusal(gateway, token)).code, 'session-expired')
  kept?.destroy()
})

test('one tunnel more than the session may have is answered 429, and one that closes makes room', async (context) => {
  const gateway = await startGateway(context, { config: { limits: { tunnels: 2 } } })
  const open = async () => (await gateway.openTunnel('plain.example.com')).stream
  const [first] = [await open(), await open()]
  const { status, code, headers } = await refusal(gateway, CREDENTIALS.token)
  assert.deepEqual([status, code, headers['retry-after']], [429, 'session-tunnels-exceeded', '1'])
  assert.match(String(headers['proxy-status']), /^ccr-upstream-gateway; error=connection_limit_reached; details=/)
  first.destroy()
  await gateway.untilRecords(1)
  assert.equal((await gateway.openTunnel('plain.example.com')).status, 200)
})

test('one request more than the session may make is answered 429 with Retry-After, inside and at CONNECT', async (context) => {
  const gateway = await startGateway(context, { config: { limits: { requestsPerMinute: 3 }, hosts: { [HOST]: [] } } })
  for (let count = 0; count < 3; count++) assert.equal((await gateway.call()).status, 200)
  const { status, headers, text } = await gateway.call()
  assert.deepEqual([status, JSON.parse(text).code], [429, 'session-requests-exceeded'])
  const seconds = Number(headers['retry-after'])
  assert.ok(seconds > 0 && seconds <= 20, `Retry-After: ${seconds}`)
  assert.match(String(headers['proxy-status']), /error=http_request_denied/)
  assert.equal((await gateway.call({ host: 'plain.example.com' })).status, 429)
})
