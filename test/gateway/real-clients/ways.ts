// A client's two ways to its origin: directly, and through a relay and a gateway that intercepts. Program, arguments and origin
// are the same on both. The environment differs in the proxy that it names, and in the credential: what the gateway injects is
// what a client that goes directly has to have.

import assert from 'node:assert/strict'
import type { AuditRecord } from 'ccr-upstream-gateway'
import { startRelaySession } from '../../e2e/relay-session.js'
import { run } from '../../support/cli-process.js'
import { startScriptedProxy, tunnelBehind } from '../../support/egress-proxy.js'
import { authorityOf, SECRET, type SystemOptions, startSystem } from '../../support/system.js'
import type { Scope } from '../../support/temp-dir.js'

/** The programs of Debian, whatever else the one who runs the tests has put before them. */
const PATH = `/usr/bin:/bin:/usr/sbin:${process.env.PATH}`

/** What the container has in the place of the credential. */
const PLACEHOLDER = 'placeholder'

export interface Way {
  readonly name: 'directly' | 'through the gateway'
  /** Runs a client to its end, in a folder of its own; resolves to what it wrote, and fails when the client does. */
  run(program: string, ...args: string[]): Promise<string>
}

export interface Ways {
  readonly both: readonly [Way, Way]
  /** The gateway's records so far. */
  readonly audit: readonly AuditRecord[]
}

export interface WaysSetup extends SystemOptions {
  /** More variables of the relay and the clients. */
  readonly env?: Readonly<Record<string, string>>
}

/** Starts a gateway, a relay, and the proxy for the direct way. */
export async function startWays(scope: Scope, { env = {}, ...options }: WaysSetup): Promise<Ways> {
  const system = await startSystem(scope, options)
  const session = await startRelaySession(scope, system, env)
  const directPort = await startDirectProxy(scope, options.origins ?? {})
  const wayWith = (name: Way['name'], token: string, port: number): Way => ({
    name,
    run: async (program, ...args) => {
      const clientEnv = withPort(session.clientEnv, session.port, port)
      const { exitCode, signal, stdout, stderr } = await run(scope, program, args, {
        env: { ...clientEnv, PATH, API_TOKEN: token },
        cwd: session.directory,
      })
      assert.equal(exitCode, 0, `${name}: ${program} ended with ${exitCode ?? signal}: ${stdout}${stderr}`)
      return stdout
    },
  })
  const direct = wayWith('directly', SECRET, directPort)
  const through = wayWith('through the gateway', PLACEHOLDER, session.port)
  return { both: [direct, through], audit: system.audit }
}

/** A CONNECT proxy that knows where the origins are, and passes bytes on. */
async function startDirectProxy(scope: Scope, origins: Readonly<Record<string, string>>): Promise<number> {
  const addresses = new Map(Object.entries(origins).map(([host, address]) => [authorityOf(host), address]))
  const pass = tunnelBehind('HTTP/1.1 200 OK\r\n\r\n')
  const proxy = await startScriptedProxy((socket, head) => {
    const authority = /^CONNECT (\S+) /.exec(head)?.[1]?.toLowerCase() ?? ''
    const address = addresses.get(authority)
    if (address === undefined) socket.destroy()
    else pass(socket, `CONNECT ${address} HTTP/1.1`)
  })
  scope.after(() => proxy.close())
  return proxy.port
}

/** The relay's environment with another proxy in its place. The bundle has the roots of the origins too. */
function withPort(env: Readonly<Record<string, string>>, from: number, to: number): Record<string, string> {
  const port = new RegExp(`\\b${from}\\b`, 'g')
  return Object.fromEntries(Object.entries(env).map(([name, value]) => [name, value.replace(port, String(to))]))
}
