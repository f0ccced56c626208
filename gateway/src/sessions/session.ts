// A session that has been let in, and when it ends.

import { setTimeout as createTimer } from 'node:timers'
import type { Policy } from '../policy/policy.js'
import type { SessionUsage } from './session-usage.js'

/** A session that proved its token. */
export interface Session {
  readonly id: string
  readonly tokenHash: Buffer
  readonly policy: Policy
  readonly expiresAtMs: number | undefined
  readonly usage: SessionUsage
  /** The issuer of its token; undefined for one of the config. */
  readonly issuer: string | undefined
}

/** Calls back when the session has ended; the function stops the wait. */
export function onExpiry({ expiresAtMs }: Session, callback: () => void): () => void {
  if (expiresAtMs === undefined) return () => {}
  let timer: NodeJS.Timeout
  const wait = () => {
    const leftMs = expiresAtMs - Date.now()
    if (leftMs <= 0) callback()
    else timer = createTimer(wait, Math.min(leftMs, LOOK_INTERVAL_MS)).unref()
  }
  timer = createTimer(wait, 0).unref()
  return () => clearTimeout(timer)
}

/** A timer stands still while its machine is suspended: how late an end is seen then, at most. */
const LOOK_INTERVAL_MS = 60_000

export function hasExpired({ expiresAtMs }: Pick<Session, 'expiresAtMs'>): boolean {
  return expiresAtMs !== undefined && expiresAtMs <= Date.now()
}
