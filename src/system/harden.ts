// What keeps a process of the same user out of this one's memory, done before the token is read: the debugger's signals
// are taken, the process is made non-dumpable (prctl(2), PR_SET_DUMPABLE; ptrace(2), "Ptrace access mode checking"), and
// it is made sure that nobody was watching already. doc/security.md says what this does not stop.
// All of it belongs to the process, and so to every start in it, in whatever thread and of whatever copy of this package.
// So nothing is ever undone: what cannot be taken back needs no count that all of them share.

import { type as systemName } from 'node:os'
import { type Addon, loadAddon } from '../addon.js'
import { errnoName, UpstreamProxyError } from '../errors.js'
import { readForeignFile } from '../foreign-file.js'
import { assertNoOpenDoor, thisStart } from './doors.js'

/** Of /proc/self/status: some 60 lines, most of them masks of processors. */
const MAX_STATUS_BYTES = 65_536

/**
 * The addon that hardens; undefined where there is nothing to call, which no Linux is: a call that fails there, whatever
 * denies it, is a failure. It is uname(2) that is asked, for on Bun a bunfig.toml may redefine process.platform.
 * @throws {UpstreamProxyError} `addon-unavailable` on Linux without an addon that loads
 */
export function findHardeningAddon(): Addon | undefined {
  const { addon, error } = loadAddon()
  if (addon !== undefined) return addon
  if (systemName() !== 'Linux') return undefined
  const why = error === 'not-found' ? 'there is none for this platform' : 'it does not load'
  throw new UpstreamProxyError(
    'addon-unavailable',
    `the native addon is missing (${why}), so the token would be readable`,
  )
}

/**
 * Hardens this process for good, and makes sure of it. A start that opens a door leaves the process as it is.
 * @throws {UpstreamProxyError} `harden-failed`, `process-traced`, or what assertNoOpenDoor() says
 */
export function hardenProcess(addon: Addon): void {
  takeDebuggerSignal()
  assertNoOpenDoor(thisStart())
  becomeNonDumpable(addon)
  forbidCoreFiles(addon)
  assertNotTraced()
}

/**
 * Makes sure that the process is still as hardenProcess() left it: after each reading of a token, and before its file goes.
 * @throws {UpstreamProxyError} `harden-failed`
 */
export function assertHardened(addon: Addon): void {
  assertNonDumpable(addon)
  forbidCoreFiles(addon)
}

/**
 * Without a listener Node opens its inspector on SIGUSR1, which a process of the same user may always send. One is enough,
 * and it stays: where the last one is removed, Node lets the signal end the process.
 */
function takeDebuggerSignal(): void {
  if (!process.listeners('SIGUSR1').includes(ignoreSignal)) process.on('SIGUSR1', ignoreSignal)
}

function ignoreSignal(): void {}

function becomeNonDumpable(addon: Addon): void {
  const result = addon.setDumpable(0)
  if (result !== 0)
    throw new UpstreamProxyError('harden-failed', `prctl(PR_SET_DUMPABLE) failed (${errnoName(-result)})`)
  assertNonDumpable(addon)
}

function assertNonDumpable(addon: Addon): void {
  const dumpable = addon.getDumpable()
  if (dumpable === 0) return
  const why = dumpable < 0 ? `prctl(PR_GET_DUMPABLE) failed (${errnoName(-dumpable)})` : 'the process is dumpable'
  throw new UpstreamProxyError('harden-failed', why)
}

/**
 * A second lock on the same door: the kernel dumps no process that is not dumpable, and this limit alone is not enough,
 * for it does not count when core_pattern is a pipe (core(5)).
 */
function forbidCoreFiles(addon: Addon): void {
  const before = addon.setCoreLimit(0)
  if (before < 0) throw new UpstreamProxyError('harden-failed', `setrlimit(RLIMIT_CORE) failed (${errnoName(-before)})`)
}

/** A tracer that came before the prctl keeps its hold, so the process must not go on to the token. */
function assertNotTraced(): void {
  const tracer = /^TracerPid:\s*(\d+)$/m.exec(readOwnStatus())?.[1]
  if (tracer === undefined) throw new UpstreamProxyError('harden-failed', '/proc/self/status names no TracerPid')
  if (tracer !== '0') throw new UpstreamProxyError('process-traced', `process ${tracer} traces this one`)
}

function readOwnStatus(): string {
  const path = '/proc/self/status'
  const file = readForeignFile(path, { maxBytes: MAX_STATUS_BYTES })
  if (file.problem === undefined) return file.bytes.toString('latin1')
  const cannot = 'so that it cannot be seen whether the process is traced'
  throw new UpstreamProxyError('harden-failed', `${path} ${file.why}, ${cannot}`)
}
