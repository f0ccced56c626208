// The relay in a thread of its own: to the program it is as if the relay were in its own thread.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { relayOptions, TOKEN } from '../relay/fixture.js'
import { listen } from '../support/listening.js'
import { type HostEvent, startRelayProgram } from '../support/proxy-process.js'
import { connectRaw } from '../support/raw-client.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { createTempDirectory } from '../support/temp-dir.js'
import { createTestCa } from '../support/test-ca.js'
import { exchange, MODES, openClient, openTunnel, startEchoGateway, startEchoProgram } from './echo-program.js'

/** Without what differs from run to run: of times only that there is one, and no port of the relay. */
function comparable(events: readonly HostEvent[]): object[] {
  return events.map((event) => {
    const entries = Object.entries(event).filter(([name]) => event.name !== 'state' || name !== 'port')
    return Object.fromEntries(entries.map(([name, value]) => [name, name.endsWith('Ms') ? typeof value : value]))
  })
}

function trustingPreload(file: string): string {
  const program = `import tls from 'node:tls'; import { readFileSync } from 'node:fs'
    tls.setDefaultCACertificates([readFileSync(${JSON.stringify(file)}, 'utf8')])`
  return `data:text/javascript,${encodeURIComponent(program)}`
}

describeOnEachRuntime('the thread of the relay', (runtime) => {
  test('it is there by default, and not with thread: main', async (t) => {
    const [byDefault, main] = [
      await startEchoProgram(t, runtime, undefined),
      await startEchoProgram(t, runtime, 'main'),
    ]
    assert.equal(await byDefault.program.ask('hasThread'), true)
    assert.equal(await main.program.ask('hasThread'), false)
  })

  test('events come in the same order and with the same content as from the main thread', async (t) => {
    const seen: object[][] = []
    for (const thread of MODES) {
      const { program } = await startEchoProgram(t, runtime, thread, { listens: true })
      const client = await openTunnel(t, program)
      await exchange(client, 1)
      client.reset()
      await program.events(4)
      const refused = await openClient(t, program, 'refused.example:443')
      assert.match((await refused.rest()).toString(), /^HTTP\/1\.1 403 /)
      refused.reset()
      await program.events(7)
      const malformed = await connectRaw(program.port)
      malformed.write('GET / HTTP/1.1\r\nHost: h.example\r\n\r\n')
      assert.match((await malformed.rest()).toString(), /^HTTP\/1\.1 405 /)
      malformed.reset()
      await program.events(9)
      await program.ask('close 0')
      seen.push(comparable(await program.ask('events')))
    }
    const names = (seen[0] as HostEvent[]).map(({ name }) => name)
    const tunnels = ['open', 'established', 'close', 'open', 'refuse', 'close', 'refuse', 'close']
    assert.deepEqual(names, ['state', ...tunnels.map((name) => `tunnel:${name}`), 'state', 'state'])
    assert.deepEqual(seen[1], seen[0])
  })

  test('who begins to listen late hears everything from then on', async (t) => {
    const { program } = await startEchoProgram(t, runtime, 'worker')
    const first = await openTunnel(t, program)
    await program.ask('listen')
    const second = await openTunnel(t, program)
    for (const client of [first, second]) client.reset()
    const isOf = (id: number, name: string) => (event: HostEvent) => event.id === id && event.name === `tunnel:${name}`
    let events: readonly HostEvent[] = []
    while (!(events.some(isOf(1, 'close')) && events.some(isOf(2, 'close')))) events = await program.events(1)
    for (const name of ['open', 'established', 'close']) assert.equal(events.filter(isOf(2, name)).length, 1)
  })

  test('stats() has what has just happened, and after close() what was last', async (t) => {
    const { program } = await startEchoProgram(t, runtime, 'worker')
    const client = await openTunnel(t, program)
    const before = (await program.stats()).bytesDown
    for (let round = 1; round <= 3; round++) {
      await exchange(client, round)
      const { tunnels, bytesDown } = await program.stats()
      assert.deepEqual([tunnels.open, tunnels.established, bytesDown - before], [1, 1, round * 1_000])
    }
    await program.ask('close 0')
    const { tunnels, bytesDown } = await program.stats()
    assert.deepEqual([tunnels.open, tunnels.established, bytesDown - before], [0, 1, 3_000])
  })

  for (const command of ['breakThread', 'endThread']) {
    test(`its unexpected end closes the relay, is said once, and is no end of the program: ${command}`, async (t) => {
      const { program } = await startEchoProgram(t, runtime, 'worker', { listens: true })
      const client = await openTunnel(t, program)
      await exchange(client, 1)
      assert.equal((await program.stats()).tunnels.open, 1)
      await program.ask(command)
      await client.ended
      const closed = await program.events(4)
      assert.deepEqual(closed.at(-1), { name: 'state', state: 'closed', port: program.port })
      const entries = await program.ask<{ level: string; code?: string }[]>('entries')
      const errors = entries.filter(({ level }) => level !== 'debug')
      assert.deepEqual(
        errors.map(({ level, code }) => [level, code]),
        [['error', 'thread-ended']],
      )
      await assert.rejects(connectRaw(program.port), { code: 'ECONNREFUSED' })
      assert.equal((await program.stats()).tunnels.established, 1)
      await program.ask('close 0')
      program.endInput()
      const { exitCode, stderr } = await program.ended
      assert.deepEqual([exitCode, stderr], [0, ''])
    })
  }

  test('a relay that listens keeps the program alive, and one that is closed does not', async (t) => {
    const { program } = await startEchoProgram(t, runtime, 'worker')
    const other = (await startEchoProgram(t, runtime, 'worker')).program
    program.endInput()
    await exchange(await openTunnel(t, program), 1)
    await other.ask('close 0')
    other.endInput()
    assert.equal((await other.ended).exitCode, 0)
    await exchange(await openTunnel(t, program), 2)
    program.kill('SIGTERM')
    assert.equal((await program.ended).signal, 'SIGTERM')
  })

  test('process.exit() ends the program with tunnels open', async (t) => {
    const { program } = await startEchoProgram(t, runtime, 'worker')
    await openTunnel(t, program)
    program.write('exit 7\n')
    const { exitCode, stderr } = await program.ended
    assert.deepEqual([exitCode, stderr], [7, ''])
  })

  test('it trusts what the program trusts when it is told nothing else', async (t) => {
    const gateway = await startEchoGateway(t)
    const { trustedCertificates: _, ...options } = relayOptions(gateway)
    const rootFile = join(createTempDirectory(t), 'root.pem')
    writeFileSync(rootFile, gateway.rootPem)
    // From 24 on a program can say it to its own thread alone; before, the environment says it to the process.
    const [, major = 0] = /^node\D*(\d+)/.exec(runtime.name) ?? []
    const program = await startRelayProgram(t, runtime, {
      options,
      ...(Number(major) >= 24
        ? { runtimeOptions: ['--import', trustingPreload(rootFile)] }
        : { env: { NODE_EXTRA_CA_CERTS: rootFile } }),
    })
    assert.equal(await program.ask('hasThread'), true)
    await exchange(await openTunnel(t, program), 1)
  })

  for (const thread of MODES) {
    test(`close(Infinity) waits for as long as a tunnel is open when thread is ${thread}`, async (t) => {
      const { program } = await startEchoProgram(t, runtime, thread)
      const client = await openTunnel(t, program)
      const closed = program.ask('close Infinity')
      for (let round = 0; round < 50; round++) await exchange(client, round)
      client.reset()
      await closed
    })
  }

  test('options that the relay refuses are refused as from the main thread', async (t) => {
    const gateway = await startEchoGateway(t)
    for (const more of [{ limits: { maxTunnels: 0 } }, { egress: 'ftp://h.example' }, { sessionId: 'a:b' }]) {
      const said: string[] = []
      for (const thread of MODES) {
        const options = { ...relayOptions(gateway), ...more, thread }
        const failure = await startRelayProgram(t, runtime, { options }).catch((error: Error) => error.message)
        said.push(/UpstreamProxyError: .*|code: .*/.exec(`${failure}`)?.[0] ?? `${failure}`)
      }
      assert.match(said[0] ?? '', /UpstreamProxyError|config-invalid/)
      assert.equal(said[1], said[0])
    }
  })

  // Bun's threads write no heap snapshots.
  if (runtime.kind === 'node')
    test('the token is in its heap alone', async (t) => {
      const tokenFile = join(createTempDirectory(t), 'token')
      writeFileSync(tokenFile, TOKEN, { mode: 0o600 })
      const { rootPem } = await createTestCa('some root')
      // It accepts no WebSocket, so the request with the token is kept.
      const server = createServer((_request, response) => response.end(rootPem)).on('upgrade', () => {})
      const url = `http://${(await listen(t, server)).address}`
      const options = { enabled: true, url, tokenFile, thread: 'worker' }
      const program = await startRelayProgram(t, runtime, { options, env: { TMPDIR: createTempDirectory(t) } })
      await openClient(t, program)
      // In hex, so that the question does not bring it there.
      const hex = (text: string): string => Buffer.from(text).toString('hex')
      assert.equal(await program.ask(`threadHeapHolds ${hex(TOKEN)}`), true)
      assert.equal(await program.ask(`ownHeapHolds ${hex(tokenFile)}`), true)
      assert.equal(await program.ask(`ownHeapHolds ${hex(TOKEN)}`), false)
    })
})
