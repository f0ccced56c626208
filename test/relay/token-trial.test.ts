// What a gateway that is not there may say of a token. With a real one: test/attack/renewal.long.test.ts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Credential } from '#src/relay/credential.js'
import { tryToken } from '#src/relay/token-trial.js'
import { FakeGatewaySocket } from './fake-gateway-socket.js'

const answer = (status: number) => Buffer.from(`HTTP/1.1 ${status} Some Words\r\n\r\n`)

function start({ isOpen = true, timeoutMs = 60_000, token = 'second' } = {}) {
  const source = {
    withToken<T>(use: (token: Buffer) => T): T {
      if (token === '') throw new Error('there is none')
      return use(Buffer.from(token))
    },
  }
  const sockets: FakeGatewaySocket[] = []
  const ending = new AbortController()
  const tried = tryToken({
    credential: new Credential(source, 'session'),
    dial: (handler) => {
      sockets.push(new FakeGatewaySocket(handler))
      return sockets[0] as FakeGatewaySocket
    },
    limits: { dialTimeoutMs: timeoutMs, answerTimeoutMs: timeoutMs },
    ended: ending.signal,
  })
  const [socket] = sockets as [FakeGatewaySocket]
  if (isOpen) socket.handler.gatewayOnOpen()
  return { tried, socket, ending }
}

test('asks for a host that does not exist, with the credential of the token', async () => {
  const { tried, socket } = start()
  const head = Buffer.concat(socket.sent).toString()
  const credential = Buffer.from('session:second').toString('base64')
  assert.match(
    head,
    new RegExp(`^CONNECT token-trial\\.invalid:443 HTTP/1\\.1\\r\\n.*Basic ${credential}\\r\\n\\r\\n$`, 's'),
  )
  socket.handler.gatewayOnData(answer(502))
  assert.equal(await tried, undefined)
  assert.ok(socket.isLetGo)
})

for (const status of [200, 403, 429, 502])
  test(`a ${status} has taken the token`, async () => {
    const { tried, socket } = start()
    // In two pieces, as it may come.
    socket.handler.gatewayOnData(answer(status).subarray(0, 10))
    socket.handler.gatewayOnData(answer(status).subarray(10))
    assert.equal(await tried, undefined)
  })

for (const status of [401, 407])
  test(`a ${status} refuses it`, async () => {
    const { tried, socket } = start()
    socket.handler.gatewayOnData(answer(status))
    assert.equal((await tried)?.code, 'gateway-token-refused')
    assert.ok(socket.isLetGo)
  })

test('a gateway that ends, is silent, or speaks no HTTP has said nothing of it', async () => {
  const [ended, deaf, silent, foreign] = [
    start(),
    start({ isOpen: false, timeoutMs: 20 }),
    start({ timeoutMs: 20 }),
    start(),
  ]
  ended.socket.handler.gatewayOnClose({ code: 1006 })
  foreign.socket.handler.gatewayOnData(Buffer.from('SSH-2.0-OpenSSH\r\n'))
  const codes = await Promise.all([ended, deaf, silent, foreign].map(async ({ tried }) => (await tried)?.code))
  assert.deepEqual(codes, [
    'gateway-closed',
    'gateway-dial-timeout',
    'gateway-answer-timeout',
    'gateway-protocol-error',
  ])
})

test('whoever asked may end it, and a token that is gone does', async () => {
  const { tried, socket, ending } = start({ isOpen: false })
  ending.abort()
  assert.equal((await tried)?.code, 'shutting-down')
  assert.ok(socket.isLetGo)
  assert.equal((await start({ token: '' }).tried)?.code, 'token-unavailable')
})
