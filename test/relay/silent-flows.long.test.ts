// The flows of warm WebSockets are dropped without a word, as by a NAT that forgets them or a balancer that is replaced: the CONNECTs
// after that do not wait for what is gone. Costs about 5 s of CPU.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { isInstalled, RunningProcess } from '../support/cli-process.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { SharedScope } from '../support/temp-dir.js'

const HOST = fileURLToPath(new URL('./silent-flows-host.js', import.meta.url))
const NAMESPACE = [
  '--net',
  'sh',
  '-c',
  'PATH=$PATH:/usr/sbin:/sbin; ip link set lo up && nft list ruleset && exec "$@"',
  'sh',
]

/** Without a second dial each takes as long as the pings of an idle tunnel: 44 s. */
const STALL_MS = 15_000

const setup = new SharedScope()
after(() => setup.end())

const skip =
  process.getuid?.() === 0 && (await isInstalled(setup, 'unshare', ...NAMESPACE, 'true'))
    ? false
    : 'no network namespace with nftables can be made here'

interface Said {
  readonly ready: number
  readonly firstMs: number[]
  readonly nextMs: number
  readonly lost: number
  readonly carriers: number[]
}

describeOnEachRuntime('warm tunnels whose flows are dropped', (runtime) => {
  async function play(program: RunningProcess): Promise<Said> {
    const { exitCode, stdout, stderr } = await program.ended
    assert.deepEqual([exitCode, stderr], [0, ''])
    return JSON.parse(stdout) as Said
  }

  function check({ ready, firstMs, nextMs, lost }: Said): void {
    for (const ms of [...firstMs, nextMs]) assert.ok(ms < STALL_MS, `${ms} ms`)
    // Those that were not handed out went too.
    assert.equal(lost, ready - firstMs.length)
  }

  test('by a forwarder: the first CONNECTs and the next are answered, and what a client says goes out once', async (t) => {
    const said = await play(
      new RunningProcess(t, process.execPath, [HOST, JSON.stringify(runtime), 'forwarder'], { env: {} }),
    )
    t.diagnostic(JSON.stringify(said))
    check(said)
    assert.deepEqual(said.carriers, [1, 1, 1])
  })

  test('by nftables: the first CONNECTs and the next are answered', { skip }, async (t) => {
    const args = [...NAMESPACE, process.execPath, HOST, JSON.stringify(runtime), 'nft']
    const { PATH = '' } = process.env
    const said = await play(new RunningProcess(t, 'unshare', args, { env: { PATH: `${PATH}:/usr/sbin:/sbin` } }))
    t.diagnostic(JSON.stringify(said))
    check(said)
  })
})
