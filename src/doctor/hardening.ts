// Steps 2 and 3 of the start, done to this very process, and what of the container decides how much they are worth
// (ptrace(2), prctl(2), core(5), capabilities(7)). The token is read as the start reads it, and its file is left alone.

import { accessSync, constants, lstatSync } from 'node:fs'
import { release } from 'node:os'
import { dirname } from 'node:path'
import { type Addon, loadAddon } from '../addon.js'
import { UpstreamProxyError } from '../errors.js'
import { readForeignFile } from '../foreign-file.js'
import type { Logger } from '../log.js'
import { descriptorLimit, tunnelsWithin } from '../runtime/descriptors.js'
import { assertNoOpenDoor, thisStart } from '../system/doors.js'
import { findHardeningAddon, hardenProcess } from '../system/harden.js'
import { findDamagedRecords } from '../system/relay-record.js'
import type { Settings } from '../system/settings.js'
import { readSessionToken, type SessionToken } from '../system/token.js'
import { type Examination, type Finding, needed, Skipped } from './check.js'
import type { Ground } from './ground.js'
import type { RunningRelay } from './running-relay.js'

export async function examineProcess(
  examination: Examination,
  { settings, running }: Ground,
): Promise<Partial<Ground>> {
  examination.enter('process and token')
  await examination.check('addon', checkAddon)
  const doors = await examination.check('doors', checkDoors)
  const reader = await examination.check('dumpable', () => {
    // It would fail for the same reason, and be told twice.
    needed(doors, 'doors')
    return checkDumpable()
  })
  // Where both are, the file is for a start that is to come, and is examined as such.
  if (running !== undefined && settings !== undefined && isTaken(settings.tokenFile)) {
    await examination.check('token', () => checkTaken(running))
    await examination.check('token-unlink', () => {
      throw new Skipped('the relay has removed the file, or emptied it')
    })
    return { holder: running }
  }
  const token = await examination.check('token', () => {
    return checkToken(needed(settings, 'settings'), needed(reader, 'dumpable'), examination.logger)
  })
  if (token !== undefined) examination.atEnd(() => token.wipe())
  await examination.check('token-unlink', () => checkUnlink(needed(settings, 'settings')))
  return { token }
}

export async function examineContainer(examination: Examination, { running }: Ground): Promise<Partial<Ground>> {
  examination.enter('container')
  const ptraceScope = await examination.check('ptrace-scope', checkPtraceScope)
  await examination.check('sys-ptrace', checkPtraceCapability)
  await examination.check('core-pattern', checkCorePattern)
  await examination.check('seccomp', checkSeccomp)
  await examination.check('descriptors', () => checkDescriptors(running))
  await examination.check('kernel', () => checkKernel(release(), ptraceScope))
  return {}
}

function checkAddon(): Finding<Addon> {
  const { addon, error } = loadAddon()
  if (addon !== undefined) return { seen: 'loaded', result: addon }
  throw new UpstreamProxyError('addon-unavailable', `the native addon is missing (${error})`)
}

/** What the runtime was told to open or to print when it started. */
function checkDoors(): Finding<true> {
  assertNoOpenDoor(thisStart())
  return { seen: 'no inspector, no dump option, no debug output', result: true }
}

/** What reads the token: the addon in a hardened process, or nothing where there is no hardening. */
interface TokenReader {
  readonly addon: Addon | undefined
}

function checkDumpable(): Finding<TokenReader> {
  const addon = findHardeningAddon()
  if (addon !== undefined) {
    hardenProcess(addon)
    return { seen: 'prctl(PR_SET_DUMPABLE, 0) holds; nobody traces this process', result: { addon } }
  }
  const message = `the process cannot be hardened on ${process.platform}`
  const warning = new UpstreamProxyError('hardening-unsupported', message)
  return { seen: message, result: { addon }, warning }
}

function checkToken(settings: Settings, { addon }: TokenReader, logger: Logger): Finding<SessionToken> {
  // A relay that nobody finds any more may have it.
  if (isTaken(settings.tokenFile)) for (const damaged of findDamagedRecords()) logger.warn(damaged)
  const result = readSessionToken(settings.tokenFile, addon, logger)
  return { seen: `${settings.tokenFile} can be read; it was left where it is`, result }
}

/** A relay removes the file once it has the token, and empties one that it cannot remove. */
function isTaken(tokenFile: string): boolean {
  try {
    const stats = lstatSync(tokenFile)
    return stats.isFile() && stats.size === 0
  } catch {
    return true
  }
}

function checkTaken({ record: { port, pid } }: RunningRelay): Finding<true> {
  return { seen: `taken by the relay on port ${port} (pid ${pid})`, result: true }
}

/** Step 6 needs the folder of the token file, not the file. */
function checkUnlink({ tokenFile }: Settings): Finding<true> {
  const directory = dirname(tokenFile)
  const seen = `the file can be removed from ${directory} after the start`
  try {
    accessSync(directory, constants.W_OK)
    return { seen, result: true }
  } catch {
    const warning = new UpstreamProxyError('token-not-unlinked', `${directory} cannot be written`)
    return { seen, result: true, warning }
  }
}

// -- The container -------------------------------------------------------------------------------------------------------

/** Yama's answer to who may trace whom (https://docs.kernel.org/admin-guide/LSM/Yama.html). */
const PTRACE_SCOPES: Readonly<Record<string, string>> = {
  '0': '0: every process of a user may trace the others',
  '1': '1: only parents may trace',
  '2': '2: only CAP_SYS_PTRACE may trace',
  '3': '3: nobody may trace',
}

function checkPtraceScope(): Finding<string | undefined> {
  assertProc()
  const result = readProc('/proc/sys/kernel/yama/ptrace_scope')
  const scope = result === undefined ? 'Yama is absent' : (PTRACE_SCOPES[result] ?? result)
  return { seen: `${scope}; a process that is not dumpable is out of reach either way`, result }
}

/** Bit of CAP_SYS_PTRACE in the sets of /proc/self/status (linux/capability.h). */
const CAP_SYS_PTRACE = 19n

function checkPtraceCapability(): Finding<true> {
  const holds = (set: string): boolean => {
    return ((BigInt(`0x${statusField(set)}`) >> CAP_SYS_PTRACE) & 1n) === 1n
  }
  if (holds('CapEff')) {
    const message = 'CAP_SYS_PTRACE is in the effective set: with it hardening keeps nobody out'
    return { seen: message, result: true, warning: new UpstreamProxyError('ptrace-capable', message) }
  }
  const bound = holds('CapBnd') ? 'but it is in the bounding set: root may have it' : 'and cannot be had'
  return { seen: `CAP_SYS_PTRACE is not held, ${bound}`, result: true }
}

function checkCorePattern(): Finding<true> {
  assertProc()
  const pattern = readProc('/proc/sys/kernel/core_pattern') ?? ''
  const where = pattern.startsWith('|') ? 'to a program, whatever the core limit says' : `to «${pattern}»`
  return { seen: `core files would go ${where}; a process that is not dumpable leaves none`, result: true }
}

const SECCOMP_MODES: Readonly<Record<string, string>> = { '0': 'off', '1': 'strict', '2': 'a filter is on' }

function checkSeccomp(): Finding<true> {
  const mode = statusField('Seccomp')
  const privileges = statusField('NoNewPrivs') === '1' ? 'set' : 'not set'
  return { seen: `seccomp: ${SECCOMP_MODES[mode] ?? mode}; no_new_privs: ${privileges}`, result: true }
}

// -- Open files ------------------------------------------------------------------------------------------------------------

/** Tunnels that a few clients with many connections, as npm and cargo, have at once. */
const FEW_TUNNELS = 200

function checkDescriptors(running: RunningRelay | undefined): Finding<true> {
  const limit = descriptorLimit(running?.record.pid)
  if (limit === Number.POSITIVE_INFINITY) throw new Skipped(`there is no limit of open files in /proc`)
  const tunnels = tunnelsWithin(limit)
  const seen = `${limit} files may be open, which is enough for some ${tunnels} tunnels at once`
  if (tunnels >= FEW_TUNNELS) return { seen, result: true }
  const message = `only ${limit} files may be open, which is enough for some ${tunnels} tunnels at once`
  return { seen, result: true, warning: new UpstreamProxyError('descriptors-exhausted', message) }
}

// -- The kernel ------------------------------------------------------------------------------------------------------------

/**
 * CVE-2026-46333: while a process that is not dumpable ends, others of its user may take its open files with
 * pidfd_getfd(2). Since 4.10; the first good release of each line, from the record of the kernel's own CNA
 * (https://www.cve.org/CVERecord?id=CVE-2026-46333). Lines that are not here ended without the fix.
 */
const EXIT_RACE = {
  since: [4, 10],
  fixed: { '5.10': 256, '5.15': 207, '6.1': 173, '6.6': 139, '6.12': 89, '6.18': 31, '7.0': 8 } as Readonly<
    Record<string, number>
  >,
  allFrom: [7, 1],
} as const

function checkKernel(version: string, ptraceScope: string | undefined): Finding<true> {
  assertProc()
  const seen = `Linux ${version}: no hole is known that opens a process that is not dumpable`
  if (!hasExitRace(version)) return { seen, result: true }
  // The scopes that ask for CAP_SYS_PTRACE close it too.
  if (ptraceScope === '2' || ptraceScope === '3') {
    return {
      seen: `Linux ${version} has CVE-2026-46333 by its number; ptrace_scope ${ptraceScope} closes it`,
      result: true,
    }
  }
  const message = `Linux ${version} has CVE-2026-46333 by its number, unless the distribution has put the fix in`
  return { seen, result: true, warning: new UpstreamProxyError('kernel-vulnerable', message) }
}

/** @param version as uname(2) has it: `6.18.44-suffix` */
export function hasExitRace(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split(/[.-]/).map((part) => Number.parseInt(part, 10) || 0)
  const isFrom = ([wantedMajor, wantedMinor]: readonly [number, number]): boolean =>
    major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)
  if (!isFrom(EXIT_RACE.since) || isFrom(EXIT_RACE.allFrom)) return false
  const fixed = EXIT_RACE.fixed[`${major}.${minor}`]
  return fixed === undefined || patch < fixed
}

// -- /proc -----------------------------------------------------------------------------------------------------------------

function assertProc(): void {
  if (readProc('/proc/self/status') === undefined) throw new Skipped(`there is no /proc on ${process.platform}`)
}

function statusField(name: string): string {
  assertProc()
  const status = readProc('/proc/self/status') ?? ''
  return new RegExp(`^${name}:\\s*(\\S+)$`, 'm').exec(status)?.[1] ?? '0'
}

/** A page of the kernel is more than any of them has. */
const MAX_PROC_BYTES = 65_536

function readProc(path: string): string | undefined {
  const file = readForeignFile(path, { maxBytes: MAX_PROC_BYTES })
  return file.problem === undefined ? file.bytes.toString('latin1').trim() : undefined
}
