// The file descriptors that this process may still open (getrlimit(2), RLIMIT_NOFILE). Without one, no client can be accepted: Node
// then resets those that wait, and Bun tries again and again. So the last ones are kept for what is short: a refusal in words, a
// file, a look-up.

import { closeSync, openSync, readFileSync } from 'node:fs'
import { systemCode } from '../errors.js'

/** How many are kept: eight clients that are told so, as many warm connections, and twice that for the rest of the process. */
const MAX_KEPT = 32

/** Opens for anybody, needs nothing, and takes a descriptor. */
const PROBE = '/dev/null'

/** A tunnel's client, and its WebSocket. */
const A_TUNNEL = 2

/** How many a process may have: the soft limit, which Node and Bun raise to the hard one. Infinity where it is not known. */
export function descriptorLimit(pid: number | 'self' = 'self'): number {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'latin1')) ?? []
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft)
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

/** How many are kept of `limit`. */
function keptOf(limit: number): number {
  return Math.min(MAX_KEPT, Math.floor(limit / 8))
}

/** How many tunnels a process may have that holds no more than a relay does; about. */
export function tunnelsWithin(limit: number): number {
  return Math.floor((limit - keptOf(limit)) / A_TUNNEL)
}

/** The last descriptors of this process. */
export class DescriptorReserve {
  readonly limit: number
  readonly #kept: number
  #spare: number | undefined

  constructor(limit: number = descriptorLimit()) {
    this.limit = limit
    this.#kept = keptOf(limit)
    this.keepSpare()
  }

  /** How many clients may hold one while they are told that there is none for them. */
  get forRefusals(): number {
    return Math.max(Math.floor(this.#kept / 4), 1)
  }

  /** Whether only the last ones are left. The system gives the lowest number that is free (open(2)), so that a number tells. */
  isReached(): boolean {
    if (this.limit === Number.POSITIVE_INFINITY) return false
    const next = nextDescriptor()
    return next !== undefined && next >= this.limit - this.#kept
  }

  /** To be called now and then: a spare one is given up when there is none any more, so that those who wait can be accepted. */
  keepSpare(): void {
    if (this.limit === Number.POSITIVE_INFINITY) return
    if (this.#spare === undefined) {
      if (nextDescriptor() !== undefined && !this.isReached()) this.#spare = openSync(PROBE, 'r')
    } else if (nextDescriptor() === Number.POSITIVE_INFINITY) this.close()
  }

  close(): void {
    if (this.#spare !== undefined) closeSync(this.#spare)
    this.#spare = undefined
  }
}

/** The number that the next one gets; Infinity when there is none, undefined where that cannot be seen. */
function nextDescriptor(): number | undefined {
  try {
    const next = openSync(PROBE, 'r')
    closeSync(next)
    return next
  } catch (error) {
    return /^E[MN]FILE$/.test(systemCode(error)) ? Number.POSITIVE_INFINITY : undefined
  }
}
