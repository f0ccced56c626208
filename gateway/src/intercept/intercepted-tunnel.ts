// What the requests of a tunnel know of it.

import type { Authority } from 'ccr-upstream-proxy/protocol'
import type { InterceptAuditRecord } from '../audit/audit-record.js'
import type { RuledHost } from '../policy/rule.js'
import type { Origin } from './origin-exchange.js'

export interface InterceptedTunnel {
  readonly id: string
  readonly sessionId: string
  readonly authority: Authority
  readonly host: RuledHost
  readonly origin: Origin
  readonly responseHeadTimeoutMs: number
  readonly audit: (record: InterceptAuditRecord) => void
  /**
   * Takes a place among the requests of the session; the function gives it back.
   * @throws {Refusal}
   */
  readonly admitRequest: () => () => void
  /** Says to the operator that a listener threw: that is a defect of the gateway. */
  readonly reportDefect: (thrown: unknown) => void
  /** Calls back after `ms`, once; the function it gives back stops that. */
  readonly schedule: (ms: number, callback: () => void) => () => void
}
