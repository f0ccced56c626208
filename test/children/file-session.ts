// A relay session for the tools whose configuration is a file: what the relay exports, with one variable set by the test;
// and an origin on localhost, which NO_PROXY names.

import { readFileSync } from 'node:fs'
import { type RelaySession, startRelaySession } from '../e2e/relay-session.js'
import { type Outcome, run } from '../support/cli-process.js'
import { type Origin, startOrigin } from '../support/origin.js'
import { type System, type SystemOptions, startSystem } from '../support/system.js'
import type { Scope } from '../support/temp-dir.js'

/** A session, and what is past its relay. */
export interface FileSession extends RelaySession {
  readonly system: System
  /** Serves `localhost` and 127.0.0.1 under the root of all origins. */
  readonly direct: Origin
  /** A file with everything that children trust. */
  readonly bundleFile: string
  readonly bundlePem: string
  /** Runs a tool in the session's folder; `undefined` takes a variable away. */
  run(file: string, args: readonly string[], variables: Readonly<Record<string, string | undefined>>): Promise<Outcome>
}

/** Starts gateway, relay and the direct origin. */
export async function startFileSession(scope: Scope, options: SystemOptions = {}): Promise<FileSession> {
  const direct = await startOrigin(scope, { names: ['localhost', '127.0.0.1'] })
  const system = await startSystem(scope, options)
  const session = await startRelaySession(scope, system)
  const bundleFile = session.clientEnv.SSL_CERT_FILE ?? ''
  return {
    ...session,
    system,
    direct,
    bundleFile,
    bundlePem: readFileSync(bundleFile, 'utf8'),
    run: (file, args, variables) =>
      run(scope, file, args, { env: { ...session.clientEnv, ...variables }, cwd: session.directory }),
  }
}
