// What a process has used, as Linux counts it from outside: the process need not take part.

import { readdirSync, readFileSync } from 'node:fs'

/** Microseconds on a CPU, user and system, of all threads together. */
export function cpuMicroseconds(pid: number): number {
  try {
    return schedulerMicroseconds(pid)
  } catch {
    return tickMicroseconds(pid)
  }
}

/** Microseconds on a CPU of the thread that the process began with: the one that JavaScript's main program runs in. */
export function threadCpuMicroseconds(pid: number): number {
  try {
    return threadMicroseconds(pid, String(pid))
  } catch {
    return tickMicroseconds(pid)
  }
}

/** A thread that has ended is missing. */
function schedulerMicroseconds(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`)
  return threads.map((thread) => threadMicroseconds(pid, thread)).reduce((sum, value) => sum + value, 0)
}

/** The scheduler's own count, in nanoseconds; kernels may be built without it. */
function threadMicroseconds(pid: number, thread: string): number {
  return Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]) / 1_000
}

/** proc_pid_stat(5), fields 14 and 15, in the ticks of USER_HZ, which is 100 everywhere. */
function tickMicroseconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10_000
}

/** Resident memory in bytes (proc_pid_status(5), VmRSS). */
export function residentBytes(pid: number): number {
  const match = /^VmRSS:\s+([0-9]+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
  return Number(match?.[1]) * 1_024
}
