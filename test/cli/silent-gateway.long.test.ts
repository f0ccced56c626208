// A gateway whose network drops everything: the proxy gives up in its time, and nothing that is still connecting keeps the command
// line from ending.

import assert from 'node:assert/strict'
import { after, it } from 'node:test'
import { CLI_FILE, isInstalled, RunningProcess } from '../support/cli-process.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { createSession } from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'
import { chooseActor } from '../support/unprivileged.js'

const setup = new SharedScope()
after(() => setup.end())

/** What is sent to this neighbour arrives at the other end of a wire where it is nobody's (RFC 5737), and is dropped. */
const NETWORK = [
  'PATH=$PATH:/usr/sbin:/sbin; ip link set lo up',
  'ip link add near type veth peer name far',
  'ip address add 192.0.2.2/24 dev near',
  'ip link set far up',
  'ip link set near up',
  'ip neighbour add 192.0.2.1 lladdr 02:00:00:00:00:01 dev near nud permanent',
].join(' && ')
const GATEWAY = 'https://192.0.2.1/'

const skip =
  process.getuid?.() === 0 && (await isInstalled(setup, 'unshare', '--net', 'sh', '-c', NETWORK))
    ? false
    : 'no network namespace can be made here'

const self = { ...chooseActor(setup), own: () => {} }

/** Milliseconds from the command's end to ours: much more than it takes, much less than a kernel goes on connecting (tcp(7)). */
const END_LIMIT_MS = 30_000

describeOnEachRuntime('run before a silent gateway', (runtime) => {
  it('ends with its command, with no connection left to wait for', { skip }, async (t) => {
    const session = createSession(t, self, {
      CLAUDE_CODE_REMOTE: '1',
      CCR_UPSTREAM_PROXY_ENABLED: '1',
      CCR_UPSTREAM_PROXY_URL: GATEWAY,
    })
    const args = ['--net', 'sh', '-c', `${NETWORK} && exec "$@"`, 'sh', runtime.path, CLI_FILE, 'run', '--']
    const child = new RunningProcess(t, 'unshare', [...args, 'sh', '-c', 'echo done; exit 7'], { env: session.env })
    await child.until(/done\n/)
    const begun = performance.now()
    const { exitCode, stderr } = await child.ended
    assert.ok(performance.now() - begun < END_LIMIT_MS, `${performance.now() - begun} ms`)
    assert.equal(exitCode, 7, stderr)
    assert.match(stderr, /warn \[[a-z-]+\]/)
  })
})
