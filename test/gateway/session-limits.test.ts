// What a session may use, when it is counted, and that neither time nor a reload makes it more.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { type TestContext, test } from 'node:test'
import { exportJWK, type GenerateKeyPairResult, generateKeyPair, SignJWT } from 'jose'
import { DEFAULT_SESSION_LIMITS } from '#gateway/policy/policy.js'
import { Refusal } from '#gateway/refusal.js'
import { SessionUsage, SessionUsages } from '#gateway/sessions/session-usage.js'
import { CREDENTIALS, requestOver, responseOf, startGateway } from './fixture.js'
import { ask } from './http2-client.js'
import { type Credentials, connectHead, openWire, readAnswer, type WireStream } from './wire-client.js'

const PLAIN = 'plain.example.com:443'
const ISSUER = 'https://issuer.example'

const keys: GenerateKeyPairResult = await generateKeyPair('ES256', { extractable: true })
const KEY_SET = JSON.stringify({ keys: [{ ...(await exportJWK(keys.publicKey)), kid: 'key-1', alg: 'ES256' }] })

function sign(session: string): Promise<string> {
  return new SignJWT({ sub: session })
    .setProtectedHeader({ alg: 'ES256', kid: 'key-1' })
    .setIssuer(ISSUER)
    .setAudience('gateway')
    .setExpirationTime('1h')
    .sign(keys.privateKey)
}

/** Lets the monotonic clock of this process jump. */
function clockOf(context: TestContext): { forward(ms: number): void } {
  const now = performance.now.bind(performance)
  let offset = 0
  context.mock.method(performance, 'now', () => now() + offset)
  return {
    forward(ms) {
      offset += ms
    },
  }
}

test('a session that rested while others came has the same limit, also through a reload', async (context) => {
  const clock = clockOf(context)
  const config = { jwt: [{ issuer: ISSUER, audience: 'gateway', jwks: 'jwks.json' }] }
  const gateway = await startGateway(context, { limits: { tunnels: 2 }, config, files: { 'jwks.json': KEY_SET } })
  const open = async (credentials: Credentials) => (await gateway.openTunnel(PLAIN, credentials)).status
  const signed = { session: 'session-j', token: await sign('session-j') }
  clock.forward(61_000)
  assert.equal(await open(signed), 200)
  assert.deepEqual([await open(CREDENTIALS), await open(CREDENTIALS)], [200, 200])
  clock.forward(61_000)
  await gateway.reload({})
  await assert.rejects(open(CREDENTIALS), /refused with 429/)
  assert.equal(await open(signed), 200)
  await assert.rejects(open(signed), /refused with 429/)
})

test('a WebSocket that waits takes no tunnel; its CONNECT does, and is refused when none is left', async (context) => {
  const gateway = await startGateway(context, { limits: { tunnels: 1 } })
  const [first, second] = [
    await openWire(gateway.tunnelUrl, CREDENTIALS.token),
    await openWire(gateway.tunnelUrl, CREDENTIALS.token),
  ]
  const ask = (stream: WireStream) => {
    stream.write(connectHead(PLAIN, CREDENTIALS))
    return readAnswer(stream)
  }
  assert.equal((await ask(first)).status, 200)
  const { status, text } = await ask(second)
  assert.equal(status, 429)
  assert.match(text, /\r\nRetry-After: 1\r\n[\s\S]*"code":"session-tunnels-exceeded"/)
  const [record] = await gateway.untilRecords(1)
  assert.equal(record?.mode === 'refused' && record.code, 'session-tunnels-exceeded')
  first.destroy()
  await gateway.untilRecords(2)
  assert.equal((await gateway.openTunnel(PLAIN)).status, 200)
})

test('besides its tunnels a session may have sixteen WebSockets that wait', async (context) => {
  const gateway = await startGateway(context, { limits: { tunnels: 2 } })
  assert.equal((await gateway.openTunnel(PLAIN)).status, 200)
  const waiting: WireStream[] = []
  for (let count = 0; count < 17; count++) waiting.push(await openWire(gateway.tunnelUrl, CREDENTIALS.token))
  await assert.rejects(openWire(gateway.tunnelUrl, CREDENTIALS.token), /refused with 429/)
  waiting[0]?.write(connectHead(PLAIN, CREDENTIALS))
  assert.equal((await readAnswer(waiting[0] as WireStream)).status, 200)
})

test('one request more than the session may have at once is answered 429 in any of its tunnels, until one has ended', async (context) => {
  const held: ServerResponse[] = []
  const other = { session: 'session-2', token: 'tok-of-another-session-0123' }
  const gateway = await startGateway(context, {
    limits: { concurrentRequests: 2 },
    sessions: [other],
    origin: {
      handler: ({ url }, response) => {
        if (url !== '/held') response.end('now')
        else {
          response.flushHeaders()
          held.push(response)
        }
      },
    },
  })
  const { session } = await gateway.openHttp2()
  const first = session.request({ ':path': '/held' })
  await once(first, 'response')
  const second = requestOver((await gateway.connect()).socket, { path: '/held' })
  second.end()
  const answer = await responseOf(second)

  await gateway.reload({})
  for (const refused of [await gateway.call(), await ask(session, { ':path': '/' })]) {
    assert.equal(refused.status, 429)
    assert.match(refused.text, /"code":"session-concurrency-exceeded"/)
    assert.equal(refused.headers['retry-after'], '1')
  }
  const records = await gateway.untilRecords(2)
  for (const record of records) {
    assert.ok(record.mode === 'intercept' && record.status === 429 && record.error === 'session-concurrency-exceeded')
  }
  assert.equal((await gateway.call({ credentials: other })).status, 200)
  assert.equal((await gateway.openTunnel(PLAIN)).status, 200, 'an untouched tunnel is no request')

  for (const response of held) response.end()
  await gateway.untilRecords(5)
  assert.equal((await gateway.call()).status, 200)
  answer.destroy()
  session.destroy()
})

test('without a word in the config a session has bounds, and none that an honest one meets', () => {
  const usage = new SessionUsage()
  const countOf = (take: () => unknown) => {
    for (let count = 0; ; count++) {
      try {
        take()
      } catch (error) {
        assert.ok(error instanceof Refusal)
        return [count, error.code]
      }
    }
  }
  const limits = DEFAULT_SESSION_LIMITS
  assert.deepEqual(
    countOf(() => usage.takeRequest(limits)),
    [1_024, 'session-concurrency-exceeded'],
  )
  assert.deepEqual(
    countOf(() => usage.takeWebSocket(limits)),
    [4_112, 'session-tunnels-exceeded'],
  )
  assert.deepEqual(
    countOf(() => usage.takeTunnel(limits)),
    [4_096, 'session-tunnels-exceeded'],
  )
})

test('a usage is dropped when nothing is open and its budgets are full again, and not before', (context) => {
  const clock = clockOf(context)
  const usages = new SessionUsages()
  const limits = { ...DEFAULT_SESSION_LIMITS, requestsPerMinute: 1 }
  const dropsOthers = () => usages.of('issuer', String(Math.random()))
  const usage = usages.of('issuer', 'session')
  const close = usage.takeWebSocket(limits)
  usage.takeRequest(limits)
  clock.forward(61_000)
  dropsOthers()
  assert.equal(usages.of('issuer', 'session'), usage, 'a WebSocket is open')
  close()
  clock.forward(59_000)
  dropsOthers()
  assert.equal(usages.of('issuer', 'session'), usage, 'it was used less than a minute ago')
  clock.forward(61_000)
  dropsOthers()
  assert.notEqual(usages.of('issuer', 'session'), usage)
})
