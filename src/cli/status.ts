// `status`: how a relay that is running does, once.

import { parseOptions, parsePort } from './arguments.js'
import { STATUS_USAGE } from './help.js'
import { findStatus, reportNoStatus } from './running-relay.js'
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
  const port = options.port === undefined ? undefined : parsePort(options.port)
  const found = await findStatus(port)
  if (found === undefined) return reportNoStatus(port)
  const view = { columns: process.stdout.columns ?? 80, hasColour: hasColour(process.stdout) }
  const text = options.json ? JSON.stringify(found.status) : formatStatus(found.status, view).join('\n')
  process.stdout.write(`${text}\n`)
  return 0
}
