// The refusals of the gateway for doc/gateway.md, from gateway/src/refusal.ts.

import { REFUSALS } from 'ccr-upstream-gateway'
import { table } from './table.mjs'

/** Every code with its status. */
export function drawRefusals() {
  return table(
    ['code', 'status', 'Proxy-Status error', 'retryable', 'what to do'],
    Object.entries(REFUSALS).map(([code, { status, proxyError, retryable, hint }]) => {
      return [`\`${code}\``, status, `\`${proxyError}\``, retryable ? 'yes' : 'no', hint]
    }),
  )
}
