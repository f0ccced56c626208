// What the audit will say of one intercepted request, gathered while that lives.

import type { AuditErrorCode, InterceptAuditRecord } from '../audit/audit-record.js'
import type { ClientExchange } from './client-exchange.js'
import type { InterceptedTunnel } from './intercepted-tunnel.js'

export class AuditDraft {
  readonly #time = new Date()
  readonly #startedAt = performance.now()
  rule: string | undefined
  /** Of the last try. */
  injected: readonly string[] = []
  /** What the client got; 0 for none. */
  status = 0
  requestBytes = 0
  responseBytes = 0
  /** What the Content-Length of an answer with a body says. */
  expectedBytes: number | undefined
  error: AuditErrorCode | undefined

  /** Whether there have been as many bytes of the answer as it said. */
  get isBodyWhole(): boolean {
    return this.expectedBytes !== undefined && this.expectedBytes === this.responseBytes
  }

  record({ id, sessionId, authority }: InterceptedTunnel, { method, target }: ClientExchange): InterceptAuditRecord {
    const { rule, injected, status, requestBytes, responseBytes, error } = this
    return {
      time: this.#time.toISOString(),
      session: sessionId,
      mode: 'intercept',
      tunnel: id,
      method,
      host: authority.host,
      port: authority.port,
      path: pathOf(target),
      status,
      requestBytes,
      responseBytes,
      ms: Math.round(performance.now() - this.#startedAt),
      injected,
      ...(rule !== undefined && { rule }),
      ...(error !== undefined && { error }),
    }
  }
}

/** Without the query, and without the userinfo that an absolute target could carry. */
function pathOf(target: string): string {
  if (!target.startsWith('/')) return target === '*' ? '*' : ''
  return target.split(/[?#]/, 1)[0] as string
}
