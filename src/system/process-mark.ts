// A mark by which a process is told from every other that was or will be, whoever reads it: the boot of its kernel, its PID
// namespace, its PID in there, and when it started (proc(5)). Containers that share a folder see each other's marks, but not each
// other's processes.

import { readlinkSync } from 'node:fs'
import { systemCode } from '../errors.js'
import { readForeignFile } from '../foreign-file.js'

export interface ProcessMark {
  /** Of the kernel: a random UUID. */
  readonly boot: string
  /** Of the PID namespace: `pid:[4026531836]`. */
  readonly namespace: string
  readonly pid: number
  /** Clock ticks from the boot to the start of the process. */
  readonly start: string
}

/** All is written in ASCII without spaces. */
const FORM = /^([0-9a-f-]{36}) (pid:\[\d+\]) (\d+) (\d+)$/

const MAX_PROC_BYTES = 65_536

/** The mark of this process; undefined where there is no /proc that speaks of it. */
export function markOfThisProcess(): ProcessMark | undefined {
  const boot = readProc('/proc/sys/kernel/random/boot_id')?.trim()
  const own = parseStat(readProc('/proc/self/stat'))
  const namespace = readNamespace()
  // Where /proc is that of another PID namespace, its numbers are not ours.
  if (boot === undefined || namespace === undefined || own?.pid !== process.pid) return undefined
  return parseMark(`${boot} ${namespace} ${own.pid} ${own.start}`)
}

export function formatMark({ boot, namespace, pid, start }: ProcessMark): string {
  return `${boot} ${namespace} ${pid} ${start}`
}

export function parseMark(text: string): ProcessMark | undefined {
  const [, boot, namespace, pid, start] = FORM.exec(text) ?? []
  if (boot === undefined || namespace === undefined || start === undefined) return undefined
  return { boot, namespace, pid: Number(pid), start }
}

/**
 * Whether the process of a mark has ended, as seen by a process of the same boot and PID namespace. What cannot be seen lives: a
 * /proc with hidepid shows no process that is not dumpable, and a relay is none.
 */
export function isGone({ pid, start }: ProcessMark): boolean {
  if (!isThere(pid)) return true
  const found = parseStat(readProc(`/proc/${pid}/stat`))
  if (found === undefined) return false
  return found.start !== start || found.state === 'Z' || found.state === 'X'
}

/** kill(2): any answer but this one speaks of a process. */
function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return systemCode(error) !== 'ESRCH'
  }
}

interface ProcessStat {
  readonly pid: number
  readonly state: string
  readonly start: string
}

/** Fields 1, 3 and 22 of /proc/PID/stat; the second is a name between brackets, which may hold anything. */
function parseStat(text: string | undefined): ProcessStat | undefined {
  const end = text?.lastIndexOf(')') ?? -1
  if (text === undefined || end < 0) return undefined
  const fields = text.slice(end + 2).split(' ')
  const [state, start] = [fields[0], fields[19]]
  return state === undefined || start === undefined ? undefined : { pid: Number.parseInt(text, 10), state, start }
}

function readNamespace(): string | undefined {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return undefined
  }
}

function readProc(path: string): string | undefined {
  const file = readForeignFile(path, { maxBytes: MAX_PROC_BYTES })
  return file.problem === undefined ? file.bytes.toString('latin1') : undefined
}
