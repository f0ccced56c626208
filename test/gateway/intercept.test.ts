// Intercepted tunnels: injection, and everything that must keep a credential from going elsewhere.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CREDENTIALS, openIntercepted, requestOver, responseOf, SECRET, startFixture, textOf } from './fixture.js'

test('sets the header of the rule and forwards the rest', async (context) => {
  const fixture = await startFixture(context)
  const { socket } = await openIntercepted(fixture)
  const request = requestOver(socket, { path: '/v1/models?page=2', headers: { 'x-mine': 'kept' } })
  request.end()
  const response = await responseOf(request)
  const seen = JSON.parse(await textOf(response))
  assert.equal(response.statusCode, 200)
  assert.equal(seen.path, '/v1/models?page=2')
  assert.equal(seen.headers.authorization, `Bearer ${SECRET}`)
  assert.equal(seen.headers['x-mine'], 'kept')
  assert.equal(seen.headers.host, 'api.example.com')
  socket.end()
  const record = await fixture.nextAudit()
  assert.deepEqual(
    { ...record, time: '', tunnel: '', ms: 0 },
    {
      time: '',
      session: CREDENTIALS.session,
      mode: 'intercept',
      tunnel: '',
      method: 'GET',
      host: 'api.example.com',
      port: 443,
      path: '/v1/models',
      status: 200,
      requestBytes: 0,
      responseBytes: Number(response.headers['content-length']),
      ms: 0,
      injected: ['authorization'],
      rule: 'api.example.com[0]',
    },
  )
})
