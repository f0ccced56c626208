// `status` and `top`: a relay that runs says how it does, to its own user.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { RelayStatus } from '#src/index.js'
import type { RelayRecord } from '#src/system/relay-record.js'
import { type Outcome, RunningProcess, run } from '../support/cli-process.js'
import { TunnelStream } from '../support/connect-client.js'
import {
  createSession,
  PLAIN_HOST,
  RULED_HOST,
  SECRET,
  type Session,
  type System,
  startSystem,
  TOKEN,
} from '../support/system.js'
import { type Scope, SharedScope } from '../support/temp-dir.js'
import { chooseActor, listTree } from '../support/unprivileged.js'

const setup = new SharedScope()
const actor = chooseActor(setup)
const PATH = process.env.PATH ?? ''

interface StartedRelay {
  readonly session: Session
  readonly relay: RunningProcess
  readonly port: number
}

describe('the state of a running relay', { timeout: 1_800_000 }, () => {
  let system: System
  before(async () => {
    system = await startSystem(setup)
  })
  after(() => setup.end())

  function ask({ temporary }: Session, ...args: string[]): Promise<Outcome> {
    const env = { PATH, TMPDIR: temporary }
    return run(setup, actor.nodeFile, [actor.cliFile, ...args], { ...actor.ids, env })
  }

  async function startRelay(t: Scope, session = createSession(t, actor, system.environment)): Promise<StartedRelay> {
    const command = [actor.cliFile, 'relay', '--json']
    const relay = new RunningProcess(t, actor.nodeFile, command, { ...actor.ids, env: session.env })
    const [line] = await relay.until(/^.*\n/)
    return { session, relay, port: (JSON.parse(line) as { port: number }).port }
  }

  async function openTunnel(t: Scope, port: number, host: string): Promise<TunnelStream> {
    const tunnel = new TunnelStream({ proxyUrl: `http://127.0.0.1:${port}`, authority: `${host}:443` })
    t.after(() => void tunnel.destroy())
    await tunnel.opened
    return tunnel
  }

  function readRecord({ temporary }: Session): RelayRecord {
    const [folder = ''] = readdirSync(temporary)
    return JSON.parse(readFileSync(join(temporary, folder, 'record', 'relay.json'), 'utf8')) as RelayRecord
  }

  it('is a table for people', async (t) => {
    const { session, port } = await startRelay(t)
    await openTunnel(t, port, RULED_HOST)
    await openTunnel(t, port, RULED_HOST)
    await openTunnel(t, port, PLAIN_HOST)
    const { exitCode, stdout, stderr } = await ask(session, 'status')
    assert.deepEqual([exitCode, stderr], [0, ''])
    assert.match(stdout, new RegExp(`^ccr-upstream-proxy listening on 127\\.0\\.0\\.1:${port} · pid \\d+ · up \\d`))
    assert.match(stdout, /^tunnels {3}3 open · 3 accepted · 3 established/m)
    assert.match(stdout, /^connect +3 /m)
    assert.match(stdout, new RegExp(`^${RULED_HOST} +2 .*\\n${PLAIN_HOST} +1 `, 'm'))
    for (const line of stdout.split('\n')) assert.ok(line.length <= 80, line)
    assert.ok(!stdout.includes('\x1b'))
  })

  it('is one JSON object for programs, without a secret, and asking for it is no tunnel', async (t) => {
    const { session, relay, port } = await startRelay(t)
    await openTunnel(t, port, RULED_HOST)
    for (let round = 0; round < 2; round++) {
      const { exitCode, stdout } = await ask(session, 'status', '--json', '--port', `${port}`)
      assert.equal(exitCode, 0)
      assert.ok(!stdout.includes(TOKEN) && !stdout.includes(SECRET))
      const status = JSON.parse(stdout) as RelayStatus
      assert.deepEqual([status.version, status.port, status.pid], [1, port, relay.pid])
      assert.deepEqual([status.statistics.tunnels.accepted, status.tunnels.length], [1, 1])
    }
  })

  it('is no one else’s to ask for', { skip: !canBeOthers() && 'needs root, to be two other users' }, async (t) => {
    const { session } = await startRelay(t)
    const { statusSocket = '' } = readRecord(session)
    const script = `require('node:net').connect(${JSON.stringify(statusSocket)})
      .on('connect', () => console.log('connected')).on('error', ({ code }) => console.log(code))`
    const asUser = (uid: number) => run(t, actor.nodeFile, ['-e', script], { uid, gid: uid, env: { PATH } })
    assert.equal((await asUser(actor.ids.uid ?? 0)).stdout, 'connected\n')
    assert.equal((await asUser(65_533)).stdout, 'EACCES\n')
  })

  it('is found where the temporary directory lies too deep for a socket, and nothing of it is left', async (t) => {
    const shallow = createSession(t, actor, system.environment)
    const temporary = join(shallow.temporary, 'deep'.repeat(20))
    mkdirSync(temporary)
    actor.own(temporary)
    const session = { ...shallow, temporary, env: { ...shallow.env, TMPDIR: temporary } }
    const { relay, port } = await startRelay(t, session)
    const { statusSocket = '' } = readRecord(session)
    assert.match(statusSocket, /^\/tmp\/ccr-upstream-proxy-\w+\/status\/socket$/)
    const { exitCode, stdout } = await ask(session, 'status', '--json')
    assert.deepEqual([exitCode, (JSON.parse(stdout) as RelayStatus).port], [0, port])
    relay.kill('SIGTERM')
    assert.equal((await relay.ended).stderr, '')
    assert.deepEqual(listTree(temporary), [])
    assert.ok(!readdirSync('/tmp').includes(statusSocket.split('/')[2] ?? ''))
  })

  it('of a relay that as many ask as it can answer is said to be so, and its environment is told', async (t) => {
    const { session } = await startRelay(t)
    const { statusSocket = '' } = readRecord(session)
    // Eight who do not end their side, nor take the answer.
    for (let count = 0; count < 8; count++) {
      const visitor = connect({ path: statusSocket, allowHalfOpen: true }).on('error', () => {})
      t.after(() => void visitor.destroy())
      await once(visitor, 'connect')
    }
    const { exitCode, stdout, stderr } = await ask(session, 'status')
    assert.deepEqual([exitCode, stdout], [3, ''])
    assert.match(stderr, /^ccr-upstream-proxy: error \[status-busy\] the relay on port \d+ \(pid \d+\): /)
    assert.equal((await ask(session, 'env')).exitCode, 0)
  })

  it('is nobody’s when no relay runs, and that of one that was killed is not taken for it', async (t) => {
    const { session, relay } = await startRelay(t)
    relay.kill('SIGKILL')
    await relay.ended
    for (const args of [['status'], ['status', '--json']]) {
      const { exitCode, stdout, stderr } = await ask(session, ...args)
      assert.deepEqual([exitCode, stdout], [3, ''])
      assert.match(stderr, /^ccr-upstream-proxy: error \[relay-not-found\] [^\n]+; hint: [^\n]+\n$/)
    }
  })

  it('is not told by a relay that is stopped, which is not taken for gone', async (t) => {
    const { session, relay, port } = await startRelay(t)
    relay.kill('SIGSTOP')
    const { exitCode, stdout, stderr } = await ask(session, 'status')
    assert.deepEqual([exitCode, stdout], [3, ''])
    const expected = `the relay on port ${port} \\(pid ${relay.pid}\\): .* did not answer within \\d+ ms; hint: [^\n]*stopped`
    assert.match(stderr, new RegExp(`^ccr-upstream-proxy: error \\[status-unavailable\\] ${expected}`))
    relay.kill('SIGCONT')
    assert.equal((await ask(session, 'status')).exitCode, 0)
  })

  it('is not shown live without a terminal', async (t) => {
    const { session } = await startRelay(t)
    const { exitCode, stdout, stderr } = await ask(session, 'top')
    assert.deepEqual([exitCode, stdout], [2, ''])
    assert.match(stderr, /^ccr-upstream-proxy: top needs a terminal: use status without one; /)
  })
})

function canBeOthers(): boolean {
  return process.getuid?.() === 0 && actor.ids.uid !== undefined
}
