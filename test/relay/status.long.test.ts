// The status socket: what it answers, to whom, and that nobody who asks can hold up the relay.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync, existsSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import type { RelayStatus } from '#src/index.js'
import { readStatus } from '#src/runtime/status-socket.js'
import { describeOnEachRuntime, IS_RELAY_LARGE } from '../support/runtimes.js'
import { createTempDirectory, type Scope } from '../support/temp-dir.js'
import { type RelayFixture, startFixture, TOKEN } from './fixture.js'

describeOnEachRuntime('the status socket', (runtime) => {
  async function start(scope: Scope, path: string): Promise<RelayFixture> {
    const fixture = await startFixture(runtime, { statusSocket: path })
    scope.after(() => fixture.end())
    return fixture
  }

  function createSocketPath(scope: Scope): string {
    return join(createTempDirectory(scope), 'socket')
  }

  async function ask(path: string): Promise<RelayStatus> {
    return JSON.parse(await readStatus(path)) as RelayStatus
  }

  /** A connection that does not read. */
  async function visit(scope: Scope, path: string): Promise<Socket> {
    const socket = connect({ path }).on('error', () => {})
    scope.after(() => void socket.destroy())
    await once(socket, 'connect')
    return socket
  }

  test('says how the relay is, and which tunnels are open', async (context) => {
    const path = createSocketPath(context)
    const fixture = await start(context, path)
    const { client, tunnel } = await fixture.open('h.example:443')
    client.write('up')
    await tunnel.take(2)
    await fixture.open('h.example:8443')
    await fixture.open('other.example:443')
    const text = await readStatus(path)
    assert.ok(text.endsWith('}\n') && !text.includes(TOKEN))
    const status = JSON.parse(text) as RelayStatus
    assert.deepEqual(
      [status.version, status.state, status.pid, status.port],
      [1, 'listening', fixture.relay.child.pid, fixture.relay.port],
    )
    assert.ok(status.uptimeMs > 0)
    assert.deepEqual(status.statistics.tunnels, (await fixture.relay.stats()).tunnels)
    assert.deepEqual(
      status.hosts.map(({ host, open, bytesUp }) => [host, open, bytesUp]),
      [
        ['h.example', 2, 2],
        ['other.example', 1, 0],
      ],
    )
    assert.deepEqual(
      status.tunnels.map(({ authority, state }) => [authority, state]),
      [
        ['h.example:443', 'open'],
        ['h.example:8443', 'open'],
        ['other.example:443', 'open'],
      ],
    )
    const [first] = status.tunnels
    assert.ok((first?.dialMs ?? 0) > 0 && (first?.connectMs ?? 0) > 0 && (first?.ageMs ?? 0) > 0)
  })

  test('is for its owner alone, and gone when the relay is', async (context) => {
    const path = createSocketPath(context)
    const fixture = await start(context, path)
    assert.equal(statSync(path).mode & 0o777, 0o600)
    await fixture.relay.close()
    assert.equal(existsSync(path), false)
  })

  test('is not opened where others could get at it, and the relay runs without', async (context) => {
    const path = createSocketPath(context)
    chmodSync(join(path, '..'), 0o755)
    const fixture = await start(context, path)
    assert.equal(existsSync(path), false)
    await fixture.open()
  })

  test('takes the place of one that a killed relay left', async (context) => {
    const path = createSocketPath(context)
    const killed = createServer().listen({ path: `${path}.before` })
    await once(killed, 'listening')
    renameSync(`${path}.before`, path)
    killed.close()
    await once(killed, 'close')
    assert.ok(statSync(path).isSocket())
    const fixture = await start(context, path)
    assert.equal((await ask(path)).port, fixture.relay.port)
  })

  test('leaves one alone on which somebody answers', async (context) => {
    const path = createSocketPath(context)
    const other = createServer((socket) => socket.on('error', () => {}).end('mine')).listen({ path })
    await once(other, 'listening')
    const fixture = await start(context, path)
    assert.equal(await readStatus(path), 'mine')
    await fixture.open()
    other.close()
  })

  test('leaves a file alone that is no socket', async (context) => {
    const path = createSocketPath(context)
    writeFileSync(path, 'mine')
    const fixture = await start(context, path)
    assert.equal(statSync(path).size, 4)
    await fixture.open()
  })

  test('has a limit of connections, and the relay goes on beside them', async (context) => {
    const path = createSocketPath(context)
    const fixture = await start(context, path)
    const visitors = await Promise.all(Array.from({ length: 8 }, () => visit(context, path)))
    await assert.rejects(readStatus(path), { code: 'status-busy' })
    await fixture.open()
    for (const visitor of visitors) visitor.destroy()
    let text = ''
    while (text === '') text = await readStatus(path).catch(() => '')
    assert.equal((JSON.parse(text) as RelayStatus).statistics.tunnels.open, 1)
  })

  // It takes five seconds.
  if (!IS_RELAY_LARGE) return
  test('drops who does not take the answer', async (context) => {
    const path = createSocketPath(context)
    await start(context, path)
    await Promise.all(Array.from({ length: 8 }, () => visit(context, path)))
    let text = ''
    while (text === '') text = await readStatus(path).catch(() => '')
    assert.equal((JSON.parse(text) as RelayStatus).version, 1)
  })
})
