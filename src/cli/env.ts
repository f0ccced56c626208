// `env`: the environment of a relay that is running, for shells and tools that were started without it.

import { findRelay } from '../doctor/running-relay.js'
import { UpstreamProxyError } from '../errors.js'
import type { RelayStatus } from '../relay/status.js'
import { createChildEnvironment } from '../system/children/child-env.js'
import { parseOptions, parsePort, UsageError } from './arguments.js'
import { ENVIRONMENT_FORMATS, type EnvironmentFormat, formatEnvironment } from './environment-formats.js'
import { ENV_USAGE } from './help.js'
import { reportNoRelay, reportNoStatus } from './no-relay.js'

/** Runs `ccr-upstream-proxy env`; resolves to the exit code. */
export async function envCommand(args: readonly string[]): Promise<number> {
  const options = parseOptions(args, {
    format: { type: 'string' },
    port: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  })
  if (options.help) {
    process.stdout.write(ENV_USAGE)
    return 0
  }
  const format = parseFormat(options.format ?? 'sh')
  const relay = await findRelay(options.port === undefined ? undefined : parsePort(options.port))
  if (relay === undefined) return reportNoRelay()
  // Who is given it then has no way out at all.
  if (relay.kind === 'told' && relay.status.isGatewaySilent) return reportNoStatus(silentSinceStart(relay.status))
  process.stdout.write(`${formatEnvironment(createChildEnvironment(relay.record.targets, process.env), format)}\n`)
  return 0
}

function silentSinceStart({ port }: RelayStatus): UpstreamProxyError {
  const message = `the gateway has been silent since the relay on port ${port} started`
  return new UpstreamProxyError('gateway-silent', message, { side: 'remote' })
}

function parseFormat(text: string): EnvironmentFormat {
  const format = ENVIRONMENT_FORMATS.find((known) => known === text)
  if (format !== undefined) return format
  throw new UsageError(`--format takes one of ${ENVIRONMENT_FORMATS.join(', ')}`)
}
