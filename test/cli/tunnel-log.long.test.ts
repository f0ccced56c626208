// `--log FILE`: the relay's own record of every tunnel, joined with the gateway's audit by the id.

import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { TunnelLogRecord } from '#src/index.js'
import { CLI_FILE, RunningProcess, run } from '../support/cli-process.js'
import { ConnectRefused, requestThroughTunnel } from '../support/connect-client.js'
import {
  createSession,
  DENIED_AUTHORITY,
  PLAIN_HOST,
  RULED_HOST,
  type System,
  startSystem,
  TOKEN,
} from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'
import { chooseActor } from '../support/unprivileged.js'

describe('--log', { timeout: 1_800_000 }, () => {
  const scope = new SharedScope()
  const self = { ...chooseActor(scope), own: () => {} }
  /** Tells of each audit record. */
  const audited = new EventEmitter()
  let system: System

  before(async () => {
    system = await startSystem(scope, { onAudit: () => audited.emit('record') })
  })
  after(() => scope.end())

  function read(file: string): { text: string; records: TunnelLogRecord[] } {
    const text = readFileSync(file, 'utf8')
    const lines = text.split('\n').slice(0, -1)
    return { text, records: lines.map((line) => JSON.parse(line) as TunnelLogRecord) }
  }

  it('has the ids of the audit, for every tunnel that reached the gateway', async (t) => {
    const session = createSession(t, self, system.environment)
    const file = join(session.directory, 'tunnels.jsonl')
    const command = [CLI_FILE, 'relay', '--json', '--log', file]
    const relay = new RunningProcess(t, process.execPath, command, { env: session.env })
    const [line] = await relay.until(/^.*\n/)
    const { env } = JSON.parse(line) as { env: Record<string, string> }
    const ca = readFileSync(env.SSL_CERT_FILE ?? '', 'utf8')
    const ask = (url: string) => requestThroughTunnel({ url, proxyUrl: env.HTTPS_PROXY ?? '', ca })
    await ask(`https://${RULED_HOST}/`)
    await ask(`https://${PLAIN_HOST}/`)
    await assert.rejects(ask(`https://${DENIED_AUTHORITY}/`), ConnectRefused)
    relay.kill('SIGTERM')
    const { exitCode, stderr } = await relay.ended
    assert.deepEqual([exitCode, stderr], [0, ''])
    const { text, records } = read(file)
    assert.ok(!text.includes(TOKEN))
    assert.deepEqual(records.map(({ host, outcome }) => [host, outcome]).toSorted(), [
      ['100.100.100.200', 'refused'],
      [RULED_HOST, 'completed'],
      [PLAIN_HOST, 'completed'],
    ])
    while (system.audit.length < records.length) await once(audited, 'record')
    assert.deepEqual(
      system.audit.map(({ requestId, host }) => [host, requestId]).toSorted(),
      records.map(({ host, id }) => [host, id]).toSorted(),
    )
  })

  it('of run is an option of run, and a variable does the same', async (t) => {
    for (const [args, variable] of [
      [['--log', 'tunnels.jsonl'], {}],
      [[], { CCR_UPSTREAM_PROXY_TUNNEL_LOG: 'tunnels.jsonl' }],
    ] as const) {
      const session = createSession(t, self, { ...system.environment, ...variable })
      // Asks the relay for something that is no CONNECT.
      const script =
        'fetch(process.env.HTTPS_PROXY).then(({ status }) => console.log(status, ...process.argv.slice(1)))'
      const command = [process.execPath, '-e', script, '--', '--log', 'other']
      const { exitCode, stdout } = await run(t, process.execPath, [CLI_FILE, 'run', ...args, ...command], {
        env: session.env,
        cwd: session.directory,
      })
      assert.deepEqual([exitCode, stdout], [0, '405 --log other\n'])
      const { records } = read(join(session.directory, 'tunnels.jsonl'))
      assert.deepEqual(
        records.map(({ outcome, code }) => [outcome, code]),
        [['refused', 'method-not-allowed']],
      )
    }
  })
})
