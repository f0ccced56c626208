// What requests leave behind in the process: no listener that stays, and nothing that a test of the gateway would not see.

import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ListenerWatch } from '../support/listener-watch.js'
import { HOST, startGateway, type TestGateway } from './fixture.js'
import { ask } from './http2-client.js'

const TESTS = fileURLToPath(new URL('../../gateway/', import.meta.url))
const WATCH = join(TESTS, '../support/watched-process.ts')

const BODY = 'a body'
const POST = `POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`

/** What makes a request over one connection, again and again. */
async function requester(gateway: TestGateway, protocol: string): Promise<() => Promise<number>> {
  if (protocol === 'http2') {
    const { session } = await gateway.openHttp2()
    return async () => (await ask(session, { ':path': '/', ':method': 'POST' }, BODY)).status ?? 0
  }
  const client = await gateway.openHttp1()
  return async () => (await client.ask(POST)).status
}

for (const [client, protocol] of [
  ['http1', 'http1'],
  ['http2', 'http1'],
  ['http2', 'http2'],
] as const) {
  test(`no listener stays of a request over ${client} to an origin with ${protocol}`, async (context) => {
    const watch = new ListenerWatch(context)
    const gateway = await startGateway(context, { origin: { protocol } })
    const request = await requester(gateway, client)
    const repeat = async (times: number) => {
      for (let count = 0; count < times; count++) assert.equal(await request(), 200)
    }
    await repeat(3)
    const before = watch.count()
    assert.ok(before.size > 10)
    await repeat(20)
    assert.deepEqual(watch.grownSince(before, 10), [])
    assert.equal(gateway.origin.connections, 1)
  })
}

test('listeners that become more are seen, on emitters and on signals', (context) => {
  const watch = new ListenerWatch(context)
  const emitter = new EventEmitter()
  const { signal } = new AbortController()
  const add = () => {
    emitter.once('close', () => {})
    signal.addEventListener('abort', () => {}, { once: true })
  }
  add()
  const before = watch.count()
  for (let count = 0; count < 5; count++) add()
  assert.deepEqual(watch.grownSince(before, 5), ['EventEmitter close: 6', 'AbortSignal abort: 6'])
  assert.deepEqual(watch.grownSince(before, 6), [])
})

test('every test file of the gateway fails on a warning and on an unhandled rejection', () => {
  const files = readdirSync(TESTS).filter((file) => file.endsWith('.test.ts'))
  assert.ok(files.length > 50)
  assert.deepEqual(
    files.filter((file) => !leadsTo(join(TESTS, file), WATCH)),
    [],
  )
})

/** Whether a source of the tests imports another one, over any number of files. */
function leadsTo(from: string, to: string, seen = new Set<string>()): boolean {
  if (from === to) return true
  if (seen.has(from)) return false
  seen.add(from)
  const imports = [
    ...readFileSync(from, 'utf8').matchAll(/^(?:import|\} from|import .* from|export .* from) '(\.[^']+)\.js'/gm),
  ]
  return imports.some(([, name]) => leadsTo(join(dirname(from), `${name}.ts`), to, seen))
}
