// What rules do to requests: several credentials for one host, by path, by scheme and by session, and every kind of step.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hashToken } from 'ccr-upstream-gateway'
import { CREDENTIALS, HOST, startGateway } from './fixture.js'

const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`
const set = (headers: Record<string, unknown>) => [{ headers }]

test("git's Basic and an API's Bearer on one host get a credential of their own kind", async (context) => {
  const gateway = await startGateway(context, {
    env: { TOKEN: 's3cret' },
    config: {
      hosts: {
        [HOST]: [
          {
            match: { scheme: 'basic' },
            transform: set({ authorization: { basic: { user: 'x-access-token', password: `\${env:TOKEN}` } } }),
          },
          { match: { scheme: ['bearer', 'token'] }, transform: set({ authorization: { bearer: `\${env:TOKEN}` } }) },
          { match: { scheme: 'none' }, transform: set({ 'x-anonymous': { raw: 'yes' } }) },
        ],
      },
    },
  })
  const sent = (authorization: string) => gateway.fieldsSeen({ headers: { authorization } })
  assert.equal((await sent(basic('me:placeholder'))).authorization, basic('x-access-token:s3cret'))
  assert.equal((await sent('Bearer placeholder')).authorization, 'Bearer s3cret')
  assert.equal((await sent('TOKEN placeholder')).authorization, 'Bearer s3cret')
  assert.equal((await sent('Digest x')).authorization, 'Digest x')
  const anonymous = await gateway.fieldsSeen()
  assert.deepEqual([anonymous.authorization, anonymous['x-anonymous']], [undefined, 'yes'])
})

test('two paths of one host get two tokens, and the audit names the rule', async (context) => {
  const rule = (path: string, token: string) => ({
    match: { path },
    transform: set({ authorization: { bearer: token } }),
  })
  const gateway = await startGateway(context, {
    config: { hosts: { [HOST]: [rule('/org-a/', 'token-a'), rule('/org-b/', 'token-b')] } },
  })
  assert.equal((await gateway.fieldsSeen({ path: '/org-a/x' })).authorization, 'Bearer token-a')
  assert.equal((await gateway.fieldsSeen({ path: '/org-b/x' })).authorization, 'Bearer token-b')
  assert.equal((await gateway.fieldsSeen({ path: '/org-c/x' })).authorization, undefined)
  const rules = (await gateway.untilRecords(3)).map((record) => 'rule' in record && record.rule)
  assert.deepEqual(rules, [`${HOST}[0]`, `${HOST}[1]`, false])
})

test('replace sets only what the client sent, remove takes away, both in any spelling', async (context) => {
  const transform = [{ replace: { 'x-api-key': 'secret-1', 'x-other': 'secret-2' }, remove: ['cookie', 'X-Trace'] }]
  const gateway = await startGateway(context, { config: { hosts: { [HOST]: [{ transform }] } } })
  const fields = await gateway.fieldsSeen({
    headers: { X_API_KEY: 'mine', Cookie: 'a=1', x_trace: '1', 'x-kept': 'yes' },
  })
  const { 'x-api-key': key, 'x-kept': kept } = fields
  assert.deepEqual([key, kept], ['secret-1', 'yes'])
  for (const name of ['x_api_key', 'x-other', 'cookie', 'x_trace']) assert.equal(fields[name], undefined, name)
  const [record] = await gateway.untilRecords(1)
  assert.deepEqual(record?.mode === 'intercept' && record.injected, ['x-api-key'])
})

const PLACEHOLDER = 'PLACEHOLDER_KEY_1'

test('a placeholder is replaced in any field, also inside Basic', async (context) => {
  const config = { hosts: { [HOST]: [{ transform: [{ placeholders: { [PLACEHOLDER]: 'the-$$&-secret' } }] }] } }
  const gateway = await startGateway(context, { config })
  const headers = {
    authorization: basic(`user:${PLACEHOLDER}`),
    'x-key': `key=${PLACEHOLDER};${PLACEHOLDER}`,
    'x-plain': 'untouched',
  }
  const fields = await gateway.fieldsSeen({ headers })
  assert.equal(fields.authorization, basic('user:the-$&-secret'))
  assert.equal(fields['x-key'], 'key=the-$&-secret;the-$&-secret')
  assert.equal(fields['x-plain'], 'untouched')
  const [record] = await gateway.untilRecords(1)
  assert.deepEqual(record?.mode === 'intercept' && [...record.injected].sort(), ['authorization', 'x-key'])
})

test('two placeholders in one field, and a field that is set as well, are one field each', async (context) => {
  const second = 'PLACEHOLDER_KEY_2'
  const transform = [{ placeholders: { [PLACEHOLDER]: 'one', [second]: 'two' }, headers: { 'x-set': 'mine' } }]
  const gateway = await startGateway(context, { config: { hosts: { [HOST]: [{ transform }] } } })
  const fields = await gateway.fieldsSeen({
    headers: { authorization: basic(`${PLACEHOLDER}:${second}`), 'x-set': second, cookie: `a=${second}` },
  })
  const { authorization, 'x-set': set, cookie } = fields
  assert.deepEqual([authorization, set, cookie], [basic('one:two'), 'mine', 'a=two'])
})

test('a placeholder that no rule for the request fills in is refused before the origin sees it', async (context) => {
  const gateway = await startGateway(context, {
    config: {
      hosts: { [HOST]: [{ match: { path: '/v1' }, transform: [{ placeholders: { [PLACEHOLDER]: 'secret' } }] }] },
    },
  })
  for (const authorization of [`Bearer ${PLACEHOLDER}`, basic(`u:${PLACEHOLDER}`)]) {
    const { status, text } = await gateway.call({ path: '/v2', headers: { authorization } })
    assert.deepEqual([status, JSON.parse(text).code], [403, 'placeholder-unmatched'])
  }
  assert.deepEqual(gateway.origin.requests, [])
  assert.equal((await gateway.call({ path: '/v1', headers: { authorization: `Bearer ${PLACEHOLDER}` } })).status, 200)
})

const SECOND = { session: 'session-2', token: 'tok-second-0123456789' }

test('a policy adds its rules before those of all sessions, and its own default', async (context) => {
  const rule = (token: string) => [{ transform: set({ authorization: { bearer: token } }) }]
  const gateway = await startGateway(context, {
    config: {
      sessions: [
        { id: CREDENTIALS.session, tokenSha256: hashToken(CREDENTIALS.token) },
        { id: SECOND.session, tokenSha256: hashToken(SECOND.token), policy: 'team' },
      ],
      policies: { team: { default: 'deny', hosts: { [HOST]: rule('team-token') } } },
      hosts: { [HOST]: rule('shared-token'), 'other.example.com': rule('other-token') },
    },
  })
  const token = async (host: string, credentials = CREDENTIALS) => {
    return (await gateway.fieldsSeen({ host, credentials })).authorization
  }
  assert.equal(await token(HOST), 'Bearer shared-token')
  assert.equal(await token(HOST, SECOND), 'Bearer team-token')
  assert.equal(await token('other.example.com', SECOND), 'Bearer other-token')
  assert.equal((await gateway.call({ host: 'plain.example.com', credentials: SECOND })).status, 403)
})

test('a rule with a port is for that port, and wins over one without', async (context) => {
  const rule = (token: string) => [{ transform: set({ authorization: { bearer: token } }) }]
  const gateway = await startGateway(context, {
    config: {
      hosts: { [HOST]: rule('any-port'), [`${HOST}:443`]: rule('port-443'), [`${HOST}:8443`]: rule('port-8443') },
    },
  })
  assert.equal((await gateway.fieldsSeen()).authorization, 'Bearer port-443')
})
