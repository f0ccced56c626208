// What `env`, `status` and `top` say on standard error where there is no relay, or none that can be asked or used.

import { UpstreamProxyError } from '../errors.js'
import { formatEntry } from '../log.js'
import { findDamagedRecords } from '../system/relay-record.js'

/** Says that no relay runs, or that there may be one that cannot be found; the exit code. */
export function reportNoRelay(): number {
  const [damaged] = findDamagedRecords()
  return reportNoStatus(damaged ?? new UpstreamProxyError('relay-not-found', 'no relay of this user is running'))
}

/** Says why the relay that runs cannot be asked; the exit code. */
export function reportNoStatus({ code, message, hint }: UpstreamProxyError): number {
  process.stderr.write(`${formatEntry({ level: 'error', code, message, hint })}\n`)
  return 3
}
