// examples/agent-host: installed from the packed package, on Node and on Bun.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { delimiter, dirname } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { isInstalled, type Outcome, RunningProcess, run } from '../support/cli-process.js'
import { describeOnEachRuntime, runtimes } from '../support/runtimes.js'
import { createSession, DENIED_AUTHORITY, SECRET, type System, TOKEN } from '../support/system.js'
import { type Scope, SharedScope } from '../support/temp-dir.js'
import { chooseActor, listTree } from '../support/unprivileged.js'
import { copyExample, readmeBlocks, readmeCommands, startExampleSystem } from './example.js'
import { type PackageRegistry, startPackageRegistry } from './package-registry.js'

const setup = new SharedScope()
const [hasCurl, hasNpm] = await Promise.all([isInstalled(setup, 'curl'), isInstalled(setup, 'npm')])
const skip = !hasCurl ? 'curl is not installed' : !hasNpm && 'npm is not installed'
const self = { ...chooseActor(setup), own: () => {} }

describe('the agent host', { skip, timeout: 1_800_000 }, () => {
  const [packing = '', installing = '', onNode = '', onBun = '', withoutGateway = ''] = readmeCommands('agent-host')
  const [withGatewayShown = '', withoutGatewayShown = ''] = readmeBlocks('agent-host', 'text')
  let system: System
  let registry: PackageRegistry
  let folder: string

  before(async () => {
    ;[system, registry] = await Promise.all([startExampleSystem(setup), startPackageRegistry(setup)])
    folder = copyExample(setup, 'agent-host')
    for (const command of [packing, installing]) {
      const { exitCode, stderr } = await inShell(setup, command)
      assert.equal(exitCode, 0, `${command}: ${stderr}`)
    }
  })
  after(() => setup.end())

  function inShell(scope: Scope, command: string): Promise<Outcome> {
    const { env } = createSession(scope, self, { ...system.environment, ...registry.environment })
    const paths = [...runtimes.map(({ path }) => dirname(path)), env.PATH].join(delimiter)
    return run(scope, 'sh', ['-c', command], { env: { ...env, PATH: paths }, cwd: folder })
  }

  it('says without a gateway what the README shows, and runs the tool', async (t) => {
    const { exitCode, stdout, stderr } = await inShell(t, withoutGateway)
    assert.equal(exitCode, 0)
    assert.deepEqual(
      [...stderr.split('\n'), ...stdout.split('\n')].sort(),
      ['', ...withoutGatewayShown.split('\n')].sort(),
    )
  })

  describeOnEachRuntime('the agent host', ({ kind, path }) => {
    it('gives its tools the proxy, and logs what the README shows', async (t) => {
      const { exitCode, stdout, stderr } = await inShell(t, kind === 'bun' ? onBun : onNode)
      assert.equal(exitCode, 0, stderr)
      assert.ok(stdout.includes(`Bearer ${SECRET}`), stdout)
      assert.equal(withoutLuck(stderr), withoutLuck(withGatewayShown))
    })

    function startHost(t: Scope) {
      const session = createSession(t, self, system.environment)
      const args = kind === 'bun' ? ['--config=/dev/null', '--no-env-file', 'host.js'] : ['host.js']
      return { session, host: new RunningProcess(t, path, args, { env: session.env, cwd: folder }) }
    }

    it('logs what the gateway refuses', async (t) => {
      const { host } = startHost(t)
      host.write(`curl --silent https://${DENIED_AUTHORITY}/\n`)
      await host.until(new RegExp(`^agent-host: refused ${DENIED_AUTHORITY}: by the gateway$`, 'm'), 'stderr')
    })

    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      it(`ends in order at ${signal}, with the tool that runs, and leaves nothing behind`, async (t) => {
        const { session, host } = startHost(t)
        host.write('echo started; exec sleep 600\n')
        await host.until(/^started\n/)
        assert.ok(!existsSync(session.tokenFile))
        host.kill(signal)
        const { exitCode, stderr } = await host.ended
        assert.equal(exitCode, 0, stderr)
        assert.match(stderr, /^agent-host: closed\n$/m)
        assert.deepEqual(listTree(session.temporary), [])
      })
    }
  })

  it("runs in the demo's shell, as the README shows", async (t) => {
    const [, command = ''] = (readmeBlocks('agent-host', 'console')[0] ?? '').split(/^\$ /m).slice(1)
    const input = command.replace('CLONE/examples/agent-host', folder)
    const demo = fileURLToPath(new URL('../demo/demo.js', import.meta.url))
    const { env } = createSession(t, self, {})
    const { exitCode, stdout, stderr } = await run(t, process.execPath, [demo, '--shell'], { env, input })
    assert.equal(exitCode, 0, stderr)
    assert.match(`${stdout}${stderr}`, /^ {2}authorization: Bearer demo-secret-/m)
  })

  it('never shows the token to a tool', async (t) => {
    const { stdout } = await inShell(t, `echo 'env; cat /proc/$PPID/environ 2>&1' | node host.js`)
    assert.match(stdout, /^HTTPS_PROXY=/m)
    assert.ok(!stdout.includes(TOKEN))
  })
})

/** Numbers differ; and whether curl is seen to have gone before the host ends the tunnel is a matter of luck. */
function withoutLuck(text: string): string {
  return text.replace(/\d+/g, 'N').replace(' (shutting-down)', '')
}
