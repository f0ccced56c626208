// How long one address of the gateway's name may take on Node.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { NameCache, SERVER_NAMES } from '#src/runtime/name-cache.js'
import { NodeTrust, openConnection } from '#src/runtime/node-dial.js'

const SERVER = `require('node:net').createServer((socket) => socket.end('here'))
  .listen({ host: '127.0.0.1', port: 0, backlog: 1 }, function () { console.log(this.address().port) })`

/** A server that is stopped, with as many connections waiting as it may have: the system drops each SYN to it. */
async function startBusyServer(t: TestContext): Promise<{ port: number; goOn: () => void }> {
  const child = spawn(process.execPath, ['-e', SERVER], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const port = Number((await once(child.stdout, 'data')).join(''))
  child.kill('SIGSTOP')
  for (let waiting = 0; waiting < 2; waiting++) {
    const socket = connect({ host: '127.0.0.1', port })
    t.after(() => socket.destroy())
    await once(socket, 'connect')
  }
  return { port, goOn: () => child.kill('SIGCONT') }
}

test('an address that takes three seconds is waited for', {
  skip: process.platform !== 'linux' && 'Linux',
}, async (t) => {
  const { port, goOn } = await startBusyServer(t)
  // Nobody listens on the second one.
  const addresses = [
    { address: '127.0.0.1', family: 4 },
    { address: '::1', family: 6 },
  ]
  const names = new NameCache(SERVER_NAMES, (_name, _options, answered) => answered(null, addresses))
  const trust = new NodeTrust(undefined, names)
  const start = performance.now()
  // The SYN is lost, and it comes again after one second and after three (RFC 6298, section 2).
  setTimeout(goOn, 2_700)
  const route = { trust, egress: undefined, egressTimeoutMs: 0 }
  const { createConnection: open } = openConnection(new URL(`ws://gateway.test:${port}/`), route)
  const socket = await new Promise<Socket>((resolve, reject) => {
    const hand = open as unknown as (options: object, connected: (error: Error | null, socket: Socket) => void) => void
    hand({}, (error, socket) => (error === null ? resolve(socket) : reject(error)))
  })
  const [bytes] = (await once(socket, 'data')) as [Buffer]
  assert.equal(bytes.toString(), 'here')
  assert.ok(performance.now() - start > 2_600, 'an earlier SYN was taken')
})
