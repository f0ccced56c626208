// `ccr-upstream-proxy relay`: its first line is its environment, and it goes when it is told to.

import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { CLI_FILE, type Outcome, RunningProcess, run } from '../support/cli-process.js'
import { requestThroughTunnel, TunnelStream } from '../support/connect-client.js'
import { freePort, listen } from '../support/listening.js'
import { createSession, RULED_HOST, SECRET, type Session, type System, startSystem, TOKEN } from '../support/system.js'
import { type Scope, SharedScope } from '../support/temp-dir.js'
import { chooseActor, listTree } from '../support/unprivileged.js'

describe('relay', { concurrency: 2, timeout: 1_800_000 }, () => {
  const scope = new SharedScope()
  const self = { ...chooseActor(scope), own: () => {} }
  let system: System

  before(async () => {
    system = await startSystem(scope)
  })
  after(() => scope.end())

  function start(t: Scope, args: readonly string[], env: Record<string, string> = {}) {
    const session = createSession(t, self, { ...system.environment, ...env })
    const relay = new RunningProcess(t, process.execPath, [CLI_FILE, 'relay', ...args], { env: session.env })
    return { session, relay }
  }

  function firstLine(relay: RunningProcess): Promise<string> {
    return relay.until(/^(.*)\n/).then((match) => match[1] ?? '')
  }

  function assertEnded(outcome: Outcome, session: Session): void {
    assert.equal(outcome.stderr, '')
    assert.equal(outcome.exitCode, 0)
    assert.equal(outcome.stdout.split('\n').length, 2, 'more than the one line')
    assert.deepEqual(listTree(session.temporary), [])
  }

  it('prints export commands that a shell takes', async (t) => {
    const { relay, session } = start(t, [])
    const line = await firstLine(relay)
    assert.match(line, /^export \w+='[^']*'(?:; export \w+='[^']*')*$/)
    const script = 'eval "$LINE"; echo "$HTTPS_PROXY"; echo "$SSL_CERT_FILE"'
    const { stdout } = await run(t, 'sh', ['-c', script], { env: { PATH: process.env.PATH, LINE: line } })
    const [proxyUrl = '', bundle = ''] = stdout.split('\n')
    assert.match(proxyUrl, /^http:\/\/127\.0\.0\.1:\d+$/)
    const ca = readFileSync(bundle, 'utf8')
    const { body } = await requestThroughTunnel({ url: `https://${RULED_HOST}/`, proxyUrl, ca })
    assert.ok(body.toString().includes(SECRET))
    assert.ok(!line.includes(TOKEN))
    relay.kill('SIGTERM')
    assertEnded(await relay.ended, session)
  })

  it('quotes what a shell would take apart', async (t) => {
    const { relay } = start(t, [], { PHP_INI_SCAN_DIR: `it's;$(id)` })
    const line = await firstLine(relay)
    const script = 'eval "$LINE"; printf %s "$PHP_INI_SCAN_DIR"'
    const { stdout } = await run(t, 'sh', ['-c', script], { env: { PATH: process.env.PATH, LINE: line } })
    assert.ok(stdout.startsWith(`it's;$(id):/`), stdout)
  })

  it('prints one JSON object with --json', async (t) => {
    const { relay, session } = start(t, ['--json'])
    const answer = JSON.parse(await firstLine(relay)) as Record<string, unknown>
    assert.deepEqual(Object.keys(answer), ['enabled', 'port', 'env'])
    assert.equal(answer.enabled, true)
    assert.equal((answer.env as Record<string, string>).HTTPS_PROXY, `http://127.0.0.1:${answer.port}`)
    assert.ok(!existsSync(session.tokenFile))
    relay.kill('SIGINT')
    assertEnded(await relay.ended, session)
  })

  it('listens on the port of --port', async (t) => {
    const port = await freePort()
    const { relay } = start(t, ['--json', '--port', `${port}`])
    assert.equal((JSON.parse(await firstLine(relay)) as { port: number }).port, port)
  })

  it('says that it stays off, and exits with 3', async (t) => {
    const { port } = await listen(t, createServer())
    for (const args of [[], ['--json']]) {
      const { relay, session } = start(t, [...args, '--port', `${port}`])
      const before = listTree(session.directory)
      const { exitCode, stdout, stderr } = await relay.ended
      assert.equal(exitCode, 3)
      const answer = JSON.parse(stdout) as Record<string, unknown>
      assert.deepEqual(Object.keys(answer), ['enabled', 'code', 'reason'])
      assert.equal(answer.enabled, false)
      assert.equal(answer.code, 'listen-failed')
      assert.match(stderr, /^ccr-upstream-proxy: warn \[listen-failed\] [^\n]+\n$/)
      assert.deepEqual(listTree(session.directory), before)
    }
  })

  it('says that the guard is off without a word on standard error', async (t) => {
    const { relay } = start(t, [], { CLAUDE_CODE_REMOTE: '0' })
    const { exitCode, stdout, stderr } = await relay.ended
    assert.equal(exitCode, 3)
    assert.equal((JSON.parse(stdout) as { code: string }).code, 'guard-off')
    assert.equal(stderr, '')
  })

  it('waits for open tunnels on the first signal and not on the second', async (t) => {
    const { relay, session } = start(t, ['--json'])
    const { port } = JSON.parse(await firstLine(relay)) as { port: number }
    const tunnel = new TunnelStream({ proxyUrl: `http://127.0.0.1:${port}`, authority: `${RULED_HOST}:443` })
    t.after(() => void tunnel.destroy())
    tunnel.on('error', () => {})
    await tunnel.opened
    relay.kill('SIGTERM')
    // It has stopped to listen, and still waits for the tunnel.
    while (await canConnect(port)) await new Promise((resolve) => setImmediate(resolve))
    relay.kill('SIGTERM')
    const { exitCode, signal, stderr } = await relay.ended
    assert.deepEqual([exitCode, signal], [143, null])
    assert.equal(stderr, '')
    assert.deepEqual(listTree(session.temporary), [])
  })
})

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
