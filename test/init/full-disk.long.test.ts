// A disk that is full while the gateway's CA is renewed: the files stay as they are, nothing half-written is left, and the renewal
// goes through once there is room again.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { after, describe, it } from 'node:test'
import { startCaServer } from '../support/ca-server.js'
import { isInstalled } from '../support/cli-process.js'
import { type EnabledReport, ProxyProcess, type Report } from '../support/proxy-process.js'
import { describeOnEachRuntime } from '../support/runtimes.js'
import { createSession, startSystem } from '../support/system.js'
import { SharedScope } from '../support/temp-dir.js'
import { chooseActor } from '../support/unprivileged.js'

const PROGRAM = new URL('../support/proxy-program.js', import.meta.url)

const setup = new SharedScope()
after(() => setup.end())
const system = await startSystem(setup)
const actor = chooseActor(setup)
/** Only root mounts. */
const self = { ...actor, own: () => {} }

const skip =
  process.getuid?.() === 0 && (await isInstalled(setup, 'unshare', '--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'))
    ? false
    : 'no tmpfs can be mounted in a namespace here'

const MOUNT = 'mount -t tmpfs -o size=2m tmpfs "$TMPDIR" && exec "$@"'

/** Takes all the room there is. */
function fill(file: string): void {
  assert.throws(() => writeFileSync(file, Buffer.alloc(4 * 1_048_576)), { code: 'ENOSPC' })
}

describeOnEachRuntime('a renewal on a full disk', (runtime) => {
  describe('of few bytes', { concurrency: 2, skip }, () => {
    for (const thread of ['worker', 'main']) {
      it(`leaves nothing behind, and is made up for: ${thread}`, async (t) => {
        const server = await startCaServer(t)
        const session = createSession(t, self, system.environment)
        const program = [runtime.path, actor.programFile(PROGRAM), actor.packageUrl, JSON.stringify({ thread })]
        const child = new ProxyProcess(t, 'unshare', ['--mount', 'sh', '-c', MOUNT, 'sh', ...program], {
          cwd: session.directory,
          env: { ...session.env, CCR_UPSTREAM_PROXY_URL: `${server.url}/short` },
        })
        const report = await child.next<Report & EnabledReport>()
        assert.equal(report.enabled, true, child.stderr)
        // As the child sees it.
        const folder = join(`/proc/${child.pid}/root`, dirname(report.caBundlePath))
        const names = readdirSync(folder).sort()
        const files = names.filter((name) => /\.(?:pem|jks)$/.test(name))
        const contents = () => files.map((name) => readFileSync(join(folder, name), 'base64'))
        const before = contents()
        const isRenewed = () => contents().every((content, index) => content !== before[index])

        const filler = join(dirname(folder), 'filler')
        fill(filler)
        await child.until(/\[ca-not-renewed\] .*\(ENOSPC\)/, 'stderr')
        assert.deepEqual(readdirSync(folder).sort(), names)
        assert.deepEqual(contents(), before)

        rmSync(filler)
        while (!isRenewed()) await child.ask('look')
        assert.deepEqual(readdirSync(folder).sort(), names)
        assert.equal(await child.ask('close 0'), null)
      })
    }
  })
})
