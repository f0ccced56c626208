// examples/image: its Dockerfile and the commands of its README, with a stand-in for the container engine.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Outcome, run } from '../support/cli-process.js'
import { SECRET, SESSION_ID, type System, TOKEN } from '../support/system.js'
import { createTempDirectory, type Scope, SharedScope } from '../support/temp-dir.js'
import { copyExample, readmeCommands, startExampleSystem } from './example.js'
import { type PackageRegistry, startPackageRegistry } from './package-registry.js'

const setup = new SharedScope()
const DOCKER = fileURLToPath(new URL('docker-replay.js', import.meta.url))

/** Whether this user may lay a file system over the machine's, which the stand-in does. */
function canMount(): boolean {
  const script =
    'mount -t tmpfs tmpfs /mnt && mkdir /mnt/u /mnt/w /mnt/m && mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/m'
  return spawnSync('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script]).status === 0
}

describe('the image', { skip: !canMount() && 'needs root that may mount overlays', timeout: 1_800_000 }, () => {
  const [packing = '', building = '', makingFolder = '', placingToken = '', running = ''] = readmeCommands('image')
  let system: System
  let registry: PackageRegistry
  let folder: string
  let environment: Record<string, string>

  before(async () => {
    ;[system, registry] = await Promise.all([startExampleSystem(setup), startPackageRegistry(setup)])
    folder = copyExample(setup, 'image')
    const commands = createTempDirectory(setup, 'commands')
    writeFileSync(join(commands, 'docker'), `#!/bin/sh\nexec '${process.execPath}' '${DOCKER}' "$@"\n`, { mode: 0o755 })
    environment = {
      PATH: `${commands}:${process.env.PATH}`,
      HOME: createTempDirectory(setup, 'home'),
      CCR_TEST_IMAGE: createTempDirectory(setup, 'image'),
      ...registry.environment,
    }
    writeFileSync(join(folder, 'gateway-ca.pem'), system.gateway.caCertificatePem)
    writeFileSync(join(folder, 'session_token'), TOKEN)
    for (const command of [packing, building]) await inShell(setup, command)
  })
  after(() => setup.end())

  async function inShell(scope: Scope, command: string): Promise<Outcome> {
    const outcome = await run(scope, 'sh', ['-c', command], { env: environment, cwd: folder })
    assert.equal(outcome.exitCode, 0, `${command}: ${outcome.stdout}${outcome.stderr}`)
    return outcome
  }

  /** The README's `docker run` for the test's gateway, with another command at its end. */
  async function runContainer(scope: Scope, command = ''): Promise<Outcome> {
    for (const line of [makingFolder, placingToken]) await inShell(scope, line)
    const { CCR_UPSTREAM_PROXY_URL: url = '', CCR_UPSTREAM_PROXY_GATEWAY_CA: rootFile = '' } = system.environment
    const more = [
      `--mount type=bind,source=${dirname(rootFile)},target=/run/gateway`,
      '--env CCR_UPSTREAM_PROXY_GATEWAY_CA=/run/gateway/gateway-root.pem',
      `--env CLAUDE_CODE_REMOTE_SESSION_ID=${SESSION_ID} agent`,
    ]
    const line = running.replace('https://gateway.example.com', url).replace(/ agent$/, ` ${more.join(' ')} ${command}`)
    return inShell(scope, line)
  }

  it('runs its agent through the proxy, and takes the token away', async (t) => {
    const { stdout, stderr } = await runContainer(t)
    assert.equal(stderr, '')
    assert.match(stdout, /^200 /)
    assert.ok(stdout.includes(`Bearer ${SECRET}`), stdout)
    assert.deepEqual(readdirSync(join(folder, 'session')), [])
  })

  it('is a user without capabilities, and none to be gained', async (t) => {
    const { stdout } = await runContainer(
      t,
      `sh -c 'id -u; pwd; grep -E "^(CapEff|CapBnd|NoNewPrivs)" /proc/self/status'`,
    )
    assert.deepEqual(stdout.trim().split(/\s+/), [
      ...['1000', '/workspace', 'CapEff:', '0000000000000000', 'CapBnd:', '0000000000000000', 'NoNewPrivs:', '1'],
    ])
  })

  it('trusts the CA also where a program reads no variable', async (t) => {
    const unset = ['CURL_CA_BUNDLE', 'SSL_CERT_FILE', 'SSL_CERT_DIR'].map((name) => `-u ${name}`).join(' ')
    const { stdout } = await runContainer(t, `env ${unset} curl --silent --show-error https://api.example.com/`)
    assert.ok(stdout.includes(`Bearer ${SECRET}`), stdout)
  })
})
