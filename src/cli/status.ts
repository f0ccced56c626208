// `status`: how a relay that is running does, once.

import { findRelay } from '../doctor/running-relay.js'
import { parseOptions, parsePort } from './arguments.js'
import { STATUS_USAGE } from './help.js'
import { reportNoRelay, reportNoStatus } from './no-relay.js'
import { formatStatus } from './status-view.js'
import { hasColour } from './terminal.js'

/** Runs `ccr-upstream-proxy status`; resolves to the exit code. */
export async function statusCommand(args: readonly string[]): Promise<number> {
  const options = parseOptions(args, {
    json: { type: 'boolean' },
    port: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  })
  if (options.help) {
    process.stdout.write(STATUS_USAGE)
    return 0
  }
  const relay = await findRelay(options.port === undefined ? undefined : parsePort(options.port))
  if (relay === undefined) return reportNoRelay()
  if (relay.kind !== 'told') return reportNoStatus(relay.error)
  const { status } = relay
  const view = { columns: process.stdout.columns ?? 80, hasColour: hasColour(process.stdout) }
  const text = options.json ? JSON.stringify(status) : formatStatus(status, view).join('\n')
  process.stdout.write(`${text}\n`)
  return 0
}
