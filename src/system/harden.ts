// What keeps a process of the same user out of this one's memory, done before the token is read: the debugger's signals
// are taken, the process is made non-dumpable (prctl(2), PR_SET_DUMPABLE; ptrace(2), "Ptrace access mode checking"), and
// it is made sure that nobody was watching already. doc/security.md says what this does not stop.

import { existsSync, readFileSync } from 'node:fs'
import { type Addon, loadAddon } from '../addon.js'
import { UpstreamProxyError } from '../errors.js'
import { assertNoOpenDoor, thisStart } from './doors.js'

/**
 * The addon, where it can harden; undefined where the system has no prctl. It is the kernel that is asked, for on Bun a
 * bunfig.toml may redefine what process.platform says.
 * @throws {UpstreamProxyError} `addon-unavailable` on Linux without an addon that loads
 */
export function findHardeningAddon(): Addon | undefined {
  const { addon, error } = loadAddon()
  if (addon !== undefined) return addon.getDumpable() >= 0 ? addon : undefined
  if (!existsSync('/proc/self/status')) return undefined
  const why = error === 'not-found' ? 'there is none for this platform' : 'it does not load'
  throw new UpstreamProxyError(
    'addon-unavailable',
    `the native addon is missing (${why}), so the token would be readable`,
  )
}

/** What was done to the process. */
export interface Hardening {
  /** Puts the process back as it was; only for one that never held the token. */
  undo(): void
}

/**
 * Hardens this process and makes sure of it.
 * @throws {UpstreamProxyError} `harden-failed`, `process-traced`, or what assertNoOpenDoor() says; then with the process
 *   as it was
 */
export function hardenProcess(addon: Addon): Hardening {
  const dumpableBefore = addon.getDumpable()
  let coreLimitBefore = 0
  // Without a listener Node opens its inspector on SIGUSR1, which a process of the same user may always send.
  process.on('SIGUSR1', ignoreSignal)
  const undo = (): void => {
    process.removeListener('SIGUSR1', ignoreSignal)
    if (coreLimitBefore > 0) addon.setCoreLimit(coreLimitBefore)
    if (dumpableBefore === 1) addon.setDumpable(1)
  }
  try {
    becomeNonDumpable(addon)
    coreLimitBefore = forbidCoreFiles(addon)
    assertNotTraced()
    assertNoOpenDoor(thisStart())
  } catch (error) {
    undo()
    throw error
  }
  return { undo }
}

function ignoreSignal(): void {}

function becomeNonDumpable(addon: Addon): void {
  const result = addon.setDumpable(0)
  if (result !== 0) throw new UpstreamProxyError('harden-failed', `prctl(PR_SET_DUMPABLE) failed (errno ${-result})`)
  const dumpable = addon.getDumpable()
  if (dumpable !== 0) throw new UpstreamProxyError('harden-failed', `the process is still dumpable (${dumpable})`)
}

/**
 * A second lock on the same door: the kernel dumps no process that is not dumpable, and this limit alone is not enough,
 * for it does not count when core_pattern is a pipe (core(5)). Gives the soft limit that was before.
 */
function forbidCoreFiles(addon: Addon): number {
  const before = addon.setCoreLimit(0)
  if (before < 0) throw new UpstreamProxyError('harden-failed', `setrlimit(RLIMIT_CORE) failed (errno ${-before})`)
  return before
}

/** A tracer that came before the prctl keeps its hold, so the process must not go on to the token. */
function assertNotTraced(): void {
  const status = readFileSync('/proc/self/status', 'utf8')
  const tracer = /^TracerPid:\s*(\d+)$/m.exec(status)?.[1]
  if (tracer === undefined) throw new UpstreamProxyError('harden-failed', '/proc/self/status names no TracerPid')
  if (tracer !== '0') throw new UpstreamProxyError('process-traced', `process ${tracer} traces this one`)
}
