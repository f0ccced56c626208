// Secrets while the gateway runs: files that change, commands with a time to live, and one refresh for any number of 401s.

import assert from 'node:assert/strict'
import { appendFileSync, readFileSync, renameSync, symlinkSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { startOrigin } from '../support/origin.js'
import { HOST, startGateway } from './fixture.js'
import { ask } from './http2-client.js'
import { readAll } from './wire-client.js'

const bearer = (template: string) => ({
  [HOST]: [{ transform: [{ headers: { authorization: { bearer: template } } }] }],
})

test('a file is read again when it changes, also through a link that is moved', async (context) => {
  const gateway = await startGateway(context, {
    files: { 'one/key': 'first\n', 'two/key': 'second\n' },
    config: { hosts: bearer(`\${file:one/key}`) },
  })
  const untilToken = async (expected: string) => {
    while ((await gateway.fieldsSeen()).authorization !== `Bearer ${expected}`);
  }
  await untilToken('first')
  gateway.put('one/key', 'first, again\n')
  await untilToken('first, again')
  renameSync(join(gateway.folder, 'one'), join(gateway.folder, 'old'))
  symlinkSync('two', join(gateway.folder, 'one'))
  await untilToken('second')
})

test('a file that changed is seen at once when an origin answers 401', async (context) => {
  const seen: string[] = []
  const gateway = await startGateway(context, {
    files: { key: 'old' },
    config: { hosts: bearer(`\${file:key}`) },
    origin: { handler: strictOrigin({ token: 'new' }, seen) },
  })
  assert.equal((await gateway.call()).status, 401)
  gateway.put('key', 'new')
  assert.equal((await gateway.call()).status, 200)
  assert.equal((await gateway.call()).status, 200)
  assert.equal(seen.at(-1), 'new')
  assert.ok(seen.length <= 4, `${seen}`)
})

/** Prints `token-N`, with N one higher each time; every run is a line of the file `runs`. */
const COUNTER = `const fs = require('node:fs')
fs.appendFileSync('runs', 'x\\n')
console.log('token-' + fs.readFileSync('runs', 'utf8').trim().split('\\n').length)
`
const runsOf = (folder: string) => readFileSync(join(folder, 'runs'), 'utf8').trim().split('\n').length

/** Lets in one token only; the tokens that came are collected. */
function strictOrigin(accepted: { token: string }, seen: string[]): RequestListener {
  return (request, response) => {
    const token = request.headers.authorization?.slice('Bearer '.length) ?? ''
    seen.push(token)
    if (token === accepted.token) response.end(token)
    else response.writeHead(401, { 'WWW-Authenticate': 'Bearer' }).end('old token')
  }
}

const counterSecret = (ttlSeconds: number) => ({
  secrets: { key: { command: [process.execPath, 'counter.cjs'], ttlSeconds } },
  hosts: bearer(`\${secret:key}`),
})

test('50 concurrent 401s run the command once, and all 50 are asked again with the new value', async (context) => {
  const [accepted, seen] = [{ token: 'token-2' }, [] as string[]]
  const gateway = await startGateway(context, {
    files: { 'counter.cjs': COUNTER },
    config: counterSecret(3_600),
    origin: { handler: strictOrigin(accepted, seen) },
  })
  assert.equal(runsOf(gateway.folder), 1)
  const answers = await Promise.all(Array.from({ length: 50 }, () => gateway.call()))
  assert.deepEqual(new Set(answers.map(({ status, text }) => `${status} ${text}`)), new Set(['200 token-2']))
  assert.equal(runsOf(gateway.folder), 2)
  assert.ok(seen.includes('token-1'))
})

test('an origin that goes on answering 401 gets its answer through, and the command is not run in a loop', async (context) => {
  const seen: string[] = []
  const gateway = await startGateway(context, {
    files: { 'counter.cjs': COUNTER },
    config: counterSecret(3_600),
    origin: { handler: strictOrigin({ token: 'never' }, seen) },
  })
  for (let count = 0; count < 5; count++) {
    const { status, text } = await gateway.call()
    assert.deepEqual([status, text], [401, 'old token'])
  }
  assert.equal(runsOf(gateway.folder), 2)
  assert.deepEqual(seen, ['token-1', 'token-2', 'token-2', 'token-2', 'token-2', 'token-2'])
})

test('after a 401 a request with a small body is sent again with the new value', async (context) => {
  const [accepted, seen] = [{ token: 'token-2' }, [] as string[]]
  const gateway = await startGateway(context, {
    files: { 'counter.cjs': COUNTER },
    config: counterSecret(3_600),
    origin: { handler: strictOrigin(accepted, seen) },
  })
  const posted = await gateway.call({ method: 'POST', body: 'x'.repeat(60_000) })
  assert.equal(posted.status, 200)
  assert.deepEqual(seen, ['token-1', 'token-2'])
})

test('a request with a large body is not sent again; a later one has the new value, whatever its body', async (context) => {
  const [accepted, seen] = [{ token: 'token-2' }, [] as string[]]
  const gateway = await startGateway(context, {
    files: { 'counter.cjs': COUNTER },
    config: counterSecret(3_600),
    origin: { handler: strictOrigin(accepted, seen) },
  })
  const post = () => gateway.call({ method: 'POST', body: 'x'.repeat(200_000) })
  assert.equal((await post()).status, 401)
  assert.deepEqual(seen, ['token-1'])
  while ((await post()).status === 401);
  assert.equal(seen.at(-1), 'token-2')
})

test('a command runs again before its time is over, and a failing one leaves its last value', async (context) => {
  const gateway = await startGateway(context, {
    files: { 'counter.cjs': `if (require('node:fs').existsSync('fail')) process.exit(7)\n${COUNTER}` },
    config: counterSecret(1),
  })
  const token = async () => (await gateway.fieldsSeen()).authorization
  // A busy machine may be past the first value before it asks.
  const first = await token()
  assert.match(first ?? '', /^Bearer token-\d+$/)
  while ((await token()) === first);
  appendFileSync(join(gateway.folder, 'fail'), '')
  while (gateway.warnings.length === 0) await token()
  assert.equal(gateway.warnings[0], 'the command of key exited with 7; its last value stays in use')
  assert.match((await token()) ?? '', /^Bearer token-\d+$/)
})

test('a tunnel that outlives a reload has its secrets renewed after a 401 to a POST', async (context) => {
  const [accepted, seen] = [{ token: 'token-2' }, [] as string[]]
  const gateway = await startGateway(context, {
    files: { 'counter.cjs': COUNTER },
    config: counterSecret(3_600),
    origin: { handler: strictOrigin(accepted, seen) },
  })
  const { session } = await gateway.openHttp2()
  await gateway.reload({ secrets: undefined, hosts: {} })
  const post = async () => (await ask(session, { ':method': 'POST' }, 'x'.repeat(200_000))).status
  while ((await post()) === 401);
  assert.deepEqual([seen.at(0), seen.at(-1)], ['token-1', 'token-2'])
  assert.equal(runsOf(gateway.folder), 2)
  session.close()
})

/** Prints a token once; every later run waits for the file `go`, and then fails, or prints another one when that is its content. */
const WAITING = `const fs = require('node:fs')
const isFirst = !fs.existsSync('running')
fs.writeFileSync('running', '')
const finish = () => {
  if (!isFirst && !fs.existsSync('go')) setTimeout(finish, 5)
  else if (isFirst) console.log('token-1')
  else if (fs.readFileSync('go', 'utf8') === 'renew') console.log('token-2')
  else process.exitCode = 1
}
finish()
`

for (const [title, verdict, status, error] of [
  ['the client gets the 401, cut off, when the secret cannot be renewed', 'fail', 401, 'upstream-aborted'],
  ['the request is sent again when the secret can be renewed', 'renew', 200, undefined],
] as const) {
  test(`an origin that leaves in the middle of its 401: ${title}`, async (context) => {
    const origin = await startOrigin(context, { protocol: 'raw' })
    const gateway = await startGateway(context, {
      origin,
      files: { 'command.cjs': WAITING },
      config: {
        secrets: { key: { command: [process.execPath, 'command.cjs'], ttlSeconds: 3_600 } },
        hosts: bearer(`\${secret:key}`),
      },
    })
    const { socket } = await gateway.connect()
    socket.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`)
    const first = await origin.nextConnection()
    await first.takeUntil('Bearer token-1\r\n')
    first.write('HTTP/1.1 401 Unauthorized\r\nContent-Length: 100\r\n\r\nonly the beginning')
    first.socket.end()
    await first.ended
    gateway.put('go', verdict)
    if (verdict === 'renew') {
      const second = await origin.nextConnection()
      await second.takeUntil('Bearer token-2\r\n')
      second.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    }
    const answer = (await readAll(socket)).toString('latin1')
    assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `))
    const record = await gateway.nextRecord()
    assert.ok(record.mode === 'intercept')
    assert.deepEqual([record.status, record.error], [status, error])
  })
}
