// A relay as its users start it: `ccr-upstream-proxy relay --json` in a process of its own, and its environment.

import { CLI_FILE, RunningProcess } from '../support/cli-process.js'
import { createSession, type Session, type System } from '../support/system.js'
import type { Scope } from '../support/temp-dir.js'
import { chooseActor } from '../support/unprivileged.js'

/** A session whose relay runs. */
export interface RelaySession extends Session {
  readonly port: number
  readonly proxyUrl: string
  /** What the relay says that clients need. */
  readonly exported: Readonly<Record<string, string>>
  /** The session's environment with the relay's over it: what a client is started with. */
  readonly clientEnv: Readonly<Record<string, string>>
  readonly relay: RunningProcess
}

/** Starts a relay for the system's gateway. Its process and its clients are who the tests are. */
export async function startRelaySession(
  scope: Scope,
  system: System,
  env: Readonly<Record<string, string>> = {},
): Promise<RelaySession> {
  const session = createSession(scope, { ...chooseActor(scope), own: () => {} }, { ...system.environment, ...env })
  const relay = new RunningProcess(scope, process.execPath, [CLI_FILE, 'relay', '--json'], { env: session.env })
  const [line] = await relay.until(/^.*\n/)
  const answer = JSON.parse(line) as { enabled: boolean; port: number; env: Record<string, string>; reason?: string }
  if (!answer.enabled) throw new Error(`the relay stays off: ${answer.reason}`)
  const { HTTPS_PROXY: proxyUrl = '' } = answer.env
  return {
    ...session,
    relay,
    port: answer.port,
    proxyUrl,
    exported: answer.env,
    clientEnv: { ...session.env, ...answer.env },
  }
}
