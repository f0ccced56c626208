// `top` in a real terminal: what it shows, that it keeps up, and that whatever ends it leaves the terminal as it was.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, it, type TestContext } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { CLI_FILE, RunningProcess } from '../support/cli-process.js'
import { TunnelStream } from '../support/connect-client.js'
import { createSession, RULED_HOST, type System, startSystem } from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'
import { Tmux } from '../support/tmux.js'
import { chooseActor } from '../support/unprivileged.js'

describe('top', { timeout: 1_800_000 }, () => {
  const setup = new SharedScope()
  const self = { ...chooseActor(setup), own: () => {} }
  let system: System
  before(async () => {
    system = await startSystem(setup)
  })
  after(() => setup.end())

  /** A relay, and a terminal in which top looks at it. */
  async function start(t: TestContext, variables: Record<string, string> = {}) {
    const session = createSession(t, self, system.environment)
    const relay = new RunningProcess(t, process.execPath, [CLI_FILE, 'relay', '--json'], { env: session.env })
    const [line] = await relay.until(/^.*\n/)
    const { port } = JSON.parse(line) as { port: number }
    const terminal = await Tmux.open(t, { PATH: process.env.PATH ?? '', TMPDIR: session.temporary, ...variables })
    if (terminal === undefined) {
      t.skip('tmux is not installed')
      return undefined
    }
    terminal.type(`${process.execPath} ${CLI_FILE} top --interval 0.2; echo "ended with $?"`)
    terminal.press('Enter')
    await terminal.until(/q: quit/)
    return { session, relay, port, terminal }
  }

  function assertPutBack(terminal: Tmux): void {
    assert.deepEqual(terminal.mode(), { isAlternate: false, hasCursor: true })
  }

  /** Connections that a relay has not accepted yet are among them: proc_net_unix(5). */
  function countSockets(folder: string): number {
    const lines = readFileSync('/proc/net/unix', 'latin1').split('\n')
    return lines.filter((line) => line.includes(` ${folder}/`)).length
  }

  it('shows what comes to pass, with rates, on a screen of its own', async (t) => {
    const started = await start(t)
    if (started === undefined) return
    const { port, terminal } = started
    assert.deepEqual(terminal.mode(), { isAlternate: true, hasCursor: false })
    await terminal.until(/no open tunnels/)
    const tunnel = new TunnelStream({ proxyUrl: `http://127.0.0.1:${port}`, authority: `${RULED_HOST}:443` })
    t.after(() => void tunnel.destroy())
    await tunnel.opened
    const screen = await terminal.until(new RegExp(`^${RULED_HOST} +1 `, 'm'))
    assert.match(screen, /^rate {6}[^\n]+\/s up · [^\n]+\/s down · [^\n]+ tunnels\/s$/m)
    assert.match(screen, /^tunnels {3}1 open/m)
  })

  it('fits the terminal when that changes', async (t) => {
    const started = await start(t)
    if (started === undefined) return
    const { terminal } = started
    terminal.resize(40, 10)
    const screen = await terminal.until(/^ccr-upstream-proxy listening on 127\.0\.0…$/m)
    assert.match(screen.trimEnd(), /q: quit$/)
    assert.ok(screen.trimEnd().split('\n').length <= 10)
  })

  for (const [key, exitCode] of [
    ['q', 0],
    ['C-c', 0],
  ] as const) {
    it(`ends with ${key}, and leaves the terminal as it was`, async (t) => {
      const started = await start(t)
      if (started === undefined) return
      started.terminal.press(key)
      const screen = await started.terminal.until(/ended with \d+$/m)
      assert.match(screen, new RegExp(`ended with ${exitCode}$`, 'm'))
      assert.ok(!screen.includes('latency'))
      assertPutBack(started.terminal)
    })
  }

  it('leaves the terminal as it was when a signal ends it', async (t) => {
    const started = await start(t)
    if (started === undefined) return
    const { terminal } = started
    terminal.press('C-z')
    await terminal.until(/Stopped|suspended/)
    assertPutBack(terminal)
    terminal.type('fg; echo "killed with $?"')
    terminal.press('Enter')
    await terminal.until(/q: quit/)
    assert.deepEqual(terminal.mode(), { isAlternate: true, hasCursor: false })
    terminal.signal('SIGTERM')
    await terminal.until(/killed with 143$/m)
    assertPutBack(terminal)
  })

  it('ends when the relay does', async (t) => {
    const started = await start(t)
    if (started === undefined) return
    started.relay.kill('SIGTERM')
    const screen = await started.terminal.until(/ended with \d+$/m)
    assert.match(screen, /error \[relay-not-found\]/)
    assert.match(screen, /ended with 3$/m)
    assertPutBack(started.terminal)
  })

  it('keeps the last figures while the relay does not answer, and goes on when it does', async (t) => {
    const started = await start(t)
    if (started === undefined) return
    const { relay, port, terminal } = started
    relay.kill('SIGSTOP')
    const screen = await terminal.until(/^q: quit · the relay does not answer/m)
    assert.match(screen, new RegExp(`^ccr-upstream-proxy listening on 127\\.0\\.0\\.1:${port} `))
    relay.kill('SIGCONT')
    await terminal.until(/^q: quit$/m)
  })

  it('ends at once while it waits for an answer', async (t) => {
    const started = await start(t)
    if (started === undefined) return
    const { session, relay, terminal } = started
    relay.kill('SIGSTOP')
    await terminal.until(/^q: quit · the relay does not answer/m)
    const before = countSockets(session.temporary)
    while (countSockets(session.temporary) === before) await setTimeout(10)
    terminal.press('q')
    assert.match(await terminal.until(/ended with \d+$/m), /ended with 0$/m)
    assertPutBack(terminal)
  })

  it('has colour on a terminal, unless NO_COLOR says otherwise', async (t) => {
    const started = await start(t)
    if (started === undefined) return
    assert.ok(started.terminal.hasStyles())
    const plain = await start(t, { NO_COLOR: '1' })
    assert.equal(plain?.terminal.hasStyles(), false)
  })
})
