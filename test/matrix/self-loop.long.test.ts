// A process that hosts the proxy with the proxy's own environment: what it opens to the gateway must not go through itself.
// Runtimes read that environment by themselves (NODE_USE_ENV_PROXY, and Bun and Deno without being asked).

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startRelaySession } from '../e2e/relay-session.js'
import { requestThroughTunnel } from '../support/connect-client.js'
import { LineProgram } from '../support/line-program.js'
import { freePort } from '../support/listening.js'
import { createSession, PLAIN_HOST, type Session, type System, startSystem } from '../support/system.js'
import type { Scope } from '../support/temp-dir.js'
import { chooseActor } from '../support/unprivileged.js'
import { BUN, NPM_TOOLS } from './npm-tools.js'

const HOST_PROGRAM = fileURLToPath(new URL('self-loop-host.js', import.meta.url))
const MISSING = 'not installed; npm run matrix -- --install'

/** A runtime, and the arguments in front of a program. */
interface Host {
  readonly name: string
  readonly command: readonly [file: string, ...args: string[]]
}

const nodes = [22, 24, 26].map(
  (line): Host => ({ name: `Node ${line}`, command: [`${NPM_TOOLS}/node${line}/bin/node`] }),
)
const bun: Host = { name: 'Bun', command: [BUN] }
const deno: Host = {
  name: 'Deno',
  command: [`${NPM_TOOLS}/@deno/linux-x64-glibc/deno`, 'run', '-A', '--node-modules-dir=manual'],
}
const unless = ({ command: [file] }: Host): string | false => (existsSync(file) ? false : MISSING)

describe('a process with the environment of its own relay', { timeout: 1_800_000 }, () => {
  for (const host of [...nodes, bun, deno]) {
    it(`${host.name}: dials the gateway without a CONNECT to itself`, { skip: unless(host) }, async (t) => {
      const { system, session, env, port } = await createOwnEnvironment(t)
      const child = startHost(t, host, session, env, port)
      assert.deepEqual(await child.next(), { enabled: true }, child.stderr)
      const proxyUrl = `http://127.0.0.1:${port}`
      const url = `https://${PLAIN_HOST}/hello`
      const { status } = await requestThroughTunnel({ proxyUrl, url, ca: system.publicRootPem })
      assert.equal(status, 200)
      assert.equal(await accepted(child), 1, 'a tunnel was opened that no client asked for')
      // The control: this environment does send what the runtime itself fetches to the relay.
      await child.ask(`fetch ${system.environment.CCR_UPSTREAM_PROXY_URL}/healthz`)
      assert.ok((await accepted(child)) > 1, 'the runtime does not take the environment')
    })
  }
})

/** What a relay exports, for a second one on a port that is known beforehand. */
async function createOwnEnvironment(scope: Scope) {
  // An address of this machine that counts as loopback nowhere: what is in 127.0.0.0/8 goes through no proxy anyhow.
  const system: System = await startSystem(scope, { gatewayHost: '0.0.0.0' })
  const { exported, port: otherPort } = await startRelaySession(scope, system)
  const port = await freePort()
  const env = Object.fromEntries(
    Object.entries(exported).map(([name, value]) => [
      name,
      value.replaceAll(`127.0.0.1:${otherPort}`, `127.0.0.1:${port}`),
    ]),
  )
  assert.equal(env.HTTPS_PROXY, `http://127.0.0.1:${port}`)
  const session = createSession(scope, { ...chooseActor(scope), own: () => {} }, system.environment)
  return { system, session, env, port }
}

function startHost(scope: Scope, { command }: Host, session: Session, env: Record<string, string>, port: number) {
  const [file, ...args] = command
  const program = [...args, HOST_PROGRAM, import.meta.resolve('ccr-upstream-proxy'), String(port)]
  // Deno asks for its own updates while it runs, which would be a tunnel too.
  const all = { ...session.env, ...env, DENO_NO_UPDATE_CHECK: '1' }
  return new LineProgram(scope, file, program, { env: all, cwd: session.directory })
}

/** Tunnels that the relay was asked for so far. */
async function accepted(child: LineProgram): Promise<number> {
  const { tunnels } = await child.ask<{ tunnels: { accepted: number } }>('stats')
  return tunnels.accepted
}
