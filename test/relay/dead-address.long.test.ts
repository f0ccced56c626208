// A name with a dead address, or with several that live: which of them the relay connects to, and what the dead one costs. In a
// network namespace, with an /etc/hosts of its own. Costs about 1 s of CPU.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { isInstalled, RunningProcess } from '../support/cli-process.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { createTempDirectory, SharedScope } from '../support/temp-dir.js'

const HOST = fileURLToPath(new URL('./dead-address-host.js', import.meta.url))

/** What is sent to this neighbour arrives at the other end of a wire where it is nobody's, and is dropped. */
const NETWORK = [
  'PATH=$PATH:/usr/sbin:/sbin; ip link set lo up',
  'ip link add near type veth peer name far',
  'ip address add 192.0.2.2/24 dev near',
  'ip address add 192.0.2.3/24 dev near',
  'ip address add 2001:db8::2/64 dev near nodad',
  'ip link set far up',
  'ip link set near up',
  'ip neighbour add 2001:db8::1 lladdr 02:00:00:00:00:01 dev near nud permanent',
].join(' && ')

const HOSTS = [
  '2001:db8::1 dead.test',
  '192.0.2.3 dead.test',
  '192.0.2.2 two.test',
  '192.0.2.3 two.test',
  '192.0.2.2 late.test',
  '192.0.2.3 late.test',
  '',
].join('\n')

const setup = new SharedScope()
after(() => setup.end())

const NAMESPACES = ['--net', '--mount', 'sh', '-c']
const skip =
  process.getuid?.() === 0 && (await isInstalled(setup, 'unshare', ...NAMESPACES, NETWORK))
    ? false
    : 'no network namespace can be made here'

/** For each way: milliseconds of three dials past the dead address, and connections that were not called for. */
type Said = Record<'gateway' | 'target' | 'egress', { ms: number[]; two: number; late: number }>

describeOnEachRuntime('a name with several addresses', (runtime) => {
  test('a dead one costs a quarter of a second once, and what answered goes first', { skip }, async (t) => {
    const hosts = join(createTempDirectory(t), 'hosts')
    writeFileSync(hosts, HOSTS)
    const script = `${NETWORK} && mount --bind ${hosts} /etc/hosts && exec "$@"`
    const args = [...NAMESPACES, script, 'sh', runtime.path, HOST]
    const { exitCode, stdout, stderr } = await new RunningProcess(t, 'unshare', args, { env: {} }).ended
    assert.deepEqual([exitCode, stderr], [0, ''])
    const said = JSON.parse(stdout) as Said
    t.diagnostic(stdout)
    for (const [way, { ms, two, late }] of Object.entries(said)) {
      // Of three, for a busy machine: an address that had to be given up would cost each of them its time.
      assert.ok(Math.min(...ms) < 2_000, `${way}: ${ms}`)
      assert.deepEqual({ way, two, late }, { way, two: 0, late: 0 })
    }
  })
})
