// What of an answer's head is hidden from the client when a rule puts several things into a request: the secrets among
// them, wherever the origin has them from, and nothing that the config or the client says openly.

import assert from 'node:assert/strict'
import type { RequestListener } from 'node:http'
import { type TestContext, test } from 'node:test'
import { HOST, startGateway } from './fixture.js'

const KEY = 'k3y/of+the"service==0123'
const ENV = { KEY, USER: 'svc-account-17', PASSWORD: 'pass word&1' }

const ruled = (transform: Record<string, unknown>) => ({ [HOST]: [{ transform: [transform] }] })

/** The fields of an answer that `handler` makes of a request with `transform`. */
async function headersOf(context: TestContext, transform: Record<string, unknown>, handler: RequestListener) {
  const gateway = await startGateway(context, { env: ENV, rules: ruled(transform), origin: { handler } })
  return (await gateway.call()).headers
}

test('a text that a rule sets is no secret: an answer may have the same', async (context) => {
  const headers = { accept: 'application/json', 'x-client': 'gateway-0123456789', authorization: `Bearer \${env:KEY}` }
  const answer = await headersOf(context, { headers }, (request, response) => {
    const { accept, authorization } = request.headers
    response.setHeader('Content-Type', String(accept)).setHeader('X-Seen', `${request.headers['x-client']}`)
    response.setHeader('X-Echo', String(authorization)).end()
  })
  assert.equal(answer['content-type'], 'application/json')
  assert.equal(answer['x-seen'], 'gateway-0123456789')
  assert.equal(answer['x-echo'], 'Bearer [redacted]')
})

test('of a template only the secret is hidden', async (context) => {
  const headers = { cookie: `token=\${env:PASSWORD}; lang=english-gb; key=\${env:KEY}` }
  const answer = await headersOf(context, { headers }, (request, response) => {
    response.setHeader('X-Echo', String(request.headers.cookie)).setHeader('Content-Language', 'english-gb').end()
  })
  assert.equal(answer['x-echo'], 'token=[redacted]; lang=english-gb; key=[redacted]')
  assert.equal(answer['content-language'], 'english-gb')
})

test('of Basic, what comes from a secret is hidden, and the encoded credential as a whole', async (context) => {
  const cases: [user: string, password: string, decoded: string][] = [
    [`\${env:USER}`, `\${env:PASSWORD}`, '[redacted]:[redacted]'],
    ['x-access-token', `\${env:PASSWORD}`, 'x-access-token:[redacted]'],
    [`\${env:USER}`, 'x-oauth-basic', '[redacted]:x-oauth-basic'],
    ['public-user', 'public-password', 'public-user:public-password'],
  ]
  for (const [user, password, expected] of cases) {
    const headers = { authorization: { basic: { user, password } } }
    const answer = await headersOf(context, { headers }, (request, response) => {
      const credential = String(request.headers.authorization).slice('Basic '.length)
      response.setHeader('X-Decoded', Buffer.from(credential, 'base64').toString()).setHeader('X-Echo', credential)
      response.setHeader('X-Twice', Buffer.from(credential).toString('base64url')).end()
    })
    assert.equal(answer['x-decoded'], expected)
    const isPublic = !expected.includes('[redacted]')
    assert.equal(answer['x-echo'] === '[redacted]', !isPublic, answer['x-echo'] as string)
    assert.equal(answer['x-twice']?.includes('[redacted]'), !isPublic)
  }
})

test('what a placeholder became is found wherever the client has put it, when the origin returns just that', async (context) => {
  const placeholders = { 'not-a-real-key': `\${env:KEY}` }
  const places: Record<string, string> = {
    cookie: 'a=b; session=not-a-real-key',
    'x-query': 'limit=1&key=not-a-real-key&page=2',
    'if-none-match': '"not-a-real-key"',
    'accept-language': 'not-a-real-key',
    authorization: `Basic ${Buffer.from('git:not-a-real-key').toString('base64')}`,
  }
  const handler: RequestListener = (request, response) => {
    assert.equal(JSON.stringify(request.headers).includes('not-a-real-key'), false)
    response.setHeader('Set-Cookie', `session=${KEY}; Path=/`).setHeader('ETag', `"${KEY.replaceAll('"', '\\"')}"`)
    response.setHeader('Content-Language', encodeURIComponent(KEY)).setHeader('X-Html', KEY.replaceAll('"', '&quot;'))
    response.setHeader('X-Json', JSON.stringify(KEY)).setHeader('X-Hex', Buffer.from(KEY).toString('hex').toUpperCase())
    response.setHeader(`X-${Buffer.from(KEY).toString('hex')}`, '1').setHeader('X-Basic', `git:${KEY}`)
    response.writeHead(200, `made of ${KEY}`).end()
  }
  const gateway = await startGateway(context, { env: ENV, rules: ruled({ placeholders }), origin: { handler } })
  for (const [name, value] of Object.entries(places)) {
    const { headers } = await gateway.call({ headers: { [name]: value } })
    assert.deepEqual(headers['set-cookie'], ['session=[redacted]; Path=/'], name)
    assert.equal(headers.etag, '"[redacted]"')
    assert.equal(headers['content-language'], '[redacted]')
    assert.equal(headers['x-html'], '[redacted]')
    assert.equal(headers['x-json'], '"[redacted]"')
    assert.equal(headers['x-hex'], '[redacted]')
    assert.equal(headers['x-redacted'], '1')
    assert.equal(headers['x-basic'], 'git:[redacted]')
  }
  const { headers } = await gateway.call()
  assert.equal(headers['x-basic'], `git:${KEY}`, 'a request without the placeholder has sent no secret')
})

const BY_FILE = ruled({ headers: { authorization: `Bearer \${file:key}` } })

test('a secret that changes while the origin thinks is hidden as it was when it went out', async (context) => {
  const handler: RequestListener = (request, response) => {
    gateway.put('key', 'second-key-4567')
    response.setHeader('X-Echo', String(request.headers.authorization)).end()
  }
  const gateway = await startGateway(context, { files: { key: 'first-key-0123' }, rules: BY_FILE, origin: { handler } })
  assert.equal((await gateway.call()).headers['x-echo'], 'Bearer [redacted]')
})

test('a request that is sent again with a renewed secret gets neither of the two back', async (context) => {
  const handler: RequestListener = (request, response) => {
    const { authorization } = request.headers
    gateway.put('key', 'second-key-4567')
    if (authorization === 'Bearer first-key-0123') response.writeHead(401).end()
    else response.setHeader('X-Echo', `first-key-0123, ${authorization}`).end()
  }
  const gateway = await startGateway(context, { files: { key: 'first-key-0123' }, rules: BY_FILE, origin: { handler } })
  assert.equal((await gateway.call()).headers['x-echo'], '[redacted], Bearer [redacted]')
})
