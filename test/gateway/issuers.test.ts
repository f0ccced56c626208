// Several issuers of signed tokens: what one of them does, or does not, is no concern of the others; and how often and for
// how long an issuer is asked, whatever tokens come.

import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import { type TestContext, test } from 'node:test'
import { exportJWK, type GenerateKeyPairResult, generateKeyPair, SignJWT } from 'jose'
import { WebSocket } from 'ws'
import { createKeySet } from '#gateway/sessions/key-set.js'
import { listen } from '../support/listening.js'
import { startGateway, type TestGateway } from './fixture.js'
import { upgrade } from './wire-client.js'

const AUDIENCE = 'ccr-gateway'
const HEADER = { alg: 'ES256', kid: 'key-1' }

const keys: GenerateKeyPairResult = await generateKeyPair('ES256', { extractable: true })
const KEY_SET = JSON.stringify({ keys: [{ ...(await exportJWK(keys.publicKey)), kid: 'key-1', alg: 'ES256' }] })

function sign(issuer: string, kid = 'key-1'): Promise<string> {
  return new SignJWT({ sub: 'session-j' })
    .setProtectedHeader({ alg: 'ES256', kid })
    .setIssuer(issuer)
    .setAudience(AUDIENCE)
    .setExpirationTime('1h')
    .sign(keys.privateKey)
}

/** A server of key sets, with the requests that it got. */
async function startIssuer(context: TestContext, listener: RequestListener) {
  const asked: number[] = []
  const server = createServer((request, response) => {
    asked.push(performance.now())
    listener(request, response)
  })
  const { address } = await listen(context, server)
  return { url: `http://${address}/jwks`, asked }
}

const issuers = (...urls: string[]) => ({
  sessions: [],
  jwt: urls.map((jwks, index) => ({ issuer: `https://issuer-${index}.example`, audience: AUDIENCE, jwks })),
})
const A = 'https://issuer-0.example'
const B = 'https://issuer-1.example'

/** `open`, or the code of the refusal. */
async function outcomeOf(gateway: TestGateway, token: string): Promise<string> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/proto' }
  const answer = await upgrade(gateway.tunnelUrl, headers)
  if (!(answer instanceof WebSocket)) return JSON.parse(answer.body).code
  answer.terminate()
  return 'open'
}

test("an issuer that is down or does not answer keeps nobody out but its own tokens' bearers", async (context) => {
  const held: (() => void)[] = []
  const hanging = await startIssuer(context, (_request, response) => held.push(() => response.end(KEY_SET)))
  const down = await startIssuer(context, (_request, response) => response.writeHead(500).end())
  const good = await startIssuer(context, (_request, response) => response.end(KEY_SET))
  for (const { url } of [hanging, down]) {
    const gateway = await startGateway(context, { config: issuers(url, good.url) })
    const ofA = sign(A).then((token) => outcomeOf(gateway, token))
    assert.equal(await outcomeOf(gateway, await sign(B)), 'open')
    for (const release of held.splice(0)) release()
    assert.equal(await ofA, url === down.url ? 'keys-unavailable' : 'open')
  }
})

test("no issuer is asked for another one's tokens, and none for a token of an issuer that is not known", async (context) => {
  const a = await startIssuer(context, (_request, response) => response.end(KEY_SET))
  const b = await startIssuer(context, (_request, response) => response.end(KEY_SET))
  const gateway = await startGateway(context, { config: issuers(a.url, b.url) })
  for (const token of [await sign('https://unknown.example'), 'a.b.c', 'e30.e30.', '....']) {
    assert.equal(await outcomeOf(gateway, token), 'unauthorized')
  }
  assert.deepEqual([a.asked.length, b.asked.length], [0, 0])
  assert.equal(await outcomeOf(gateway, await sign(B)), 'open')
  assert.deepEqual([a.asked.length, b.asked.length], [0, 1])
})

test('tokens that come at the same time wait for one fetch, and a reload does not fetch again', async (context) => {
  const a = await startIssuer(context, (_request, response) => setImmediate(() => response.end(KEY_SET)))
  const gateway = await startGateway(context, { config: issuers(a.url) })
  const token = await sign(A)
  const outcomes = await Promise.all(Array.from({ length: 20 }, () => outcomeOf(gateway, token)))
  assert.deepEqual(new Set(outcomes), new Set(['open']))
  assert.equal(a.asked.length, 1)
  await gateway.reload({})
  assert.equal(await outcomeOf(gateway, token), 'open')
  assert.equal(a.asked.length, 1)
})

test('an issuer that failed is left alone for a second, however many tokens come', async (context) => {
  const a = await startIssuer(context, (_request, response) => response.writeHead(503).end())
  const keySet = createKeySet({ url: new URL(a.url) })
  const find = () => keySet(HEADER, { payload: '', signature: '' })
  await assert.rejects(async () => find())
  const failedAt = performance.now()
  await Promise.all(Array.from({ length: 10 }, () => assert.rejects(async () => find())))
  assert.equal(a.asked.length, 2)
  assert.ok((a.asked[1] as number) - failedAt > 900)
})

test('a thousand tokens wait for a key set, the next one is refused at once', async (context) => {
  const held: (() => void)[] = []
  const a = await startIssuer(context, (_request, response) => held.push(() => response.end(KEY_SET)))
  const keySet = createKeySet({ url: new URL(a.url) })
  const find = async () => keySet(HEADER, { payload: '', signature: '' })
  const waiting = Array.from({ length: 1_000 }, find)
  await assert.rejects(find, /too many tokens wait/)
  while (held.length === 0) await new Promise((resolve) => setImmediate(resolve))
  held.pop()?.()
  await Promise.all(waiting)
  await find()
})

test('a key set without an end is given up', async (context) => {
  const piece = Buffer.alloc(65_536, ' ')
  const a = await startIssuer(context, (_request, response) => {
    const more = () => {
      while (response.write(piece));
    }
    response.on('drain', more).on('error', () => {})
    more()
  })
  const keySet = createKeySet({ url: new URL(a.url) })
  await assert.rejects(async () => keySet(HEADER, { payload: '', signature: '' }), /too large/)
})
